// A client over the WebSocket of web pages, which Node has too. Its value is a function: how to say a line in, how to
// perform one out. Pages can neither see a refusal's status nor cut a message into frames.
(say) => {
  const decoded = (field) => Uint8Array.from(atob(field), (character) => character.charCodeAt(0));
  const encoded = (bytes) => {
    let binary = "";
    for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(binary);
  };
  const bytes = (text) => new TextEncoder().encode(text);
  const text = (field) => new TextDecoder().decode(decoded(field));
  let socket;

  function open(url) {
    let opened = false;
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      opened = true;
      say("opened");
    };
    socket.onerror = () => opened || say("refused "); // Node 20 raises no close after it
    socket.onmessage = ({ data }) =>
      say(typeof data === "string" ? `text ${encoded(bytes(data))}` : `binary ${encoded(new Uint8Array(data))}`);
    socket.onclose = ({ code, reason }) => opened && say(`closed ${code} ${encoded(bytes(reason))}`);
  }

  return (word, fields) => {
    if (word === "open") open(fields[0]);
    else if (word === "text") socket.send(text(fields[0]));
    else if (word === "binary") socket.send(decoded(fields[0]));
    else if (word === "close") socket.close(Number(fields[0]), text(fields[1]));
  };
}
