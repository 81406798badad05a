// ClientWebSocket of Mono, which is the one of Unity. It cannot see the status of a refusal.

using System;
using System.IO;
using System.Net.WebSockets;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

public static class Player
{
    private static ClientWebSocket socket;

    public static void Main()
    {
        // Its own reader and writer: the console's take four kilobytes a line.
        using (var input = new StreamReader(Console.OpenStandardInput()))
        {
            string line;
            while ((line = input.ReadLine()) != null)
                Perform(line.Split(' ')).GetAwaiter().GetResult();
        }
        Environment.Exit(0);
    }

    private static async Task Perform(string[] words)
    {
        if (words[0] == "open")
            await Open(new Uri(words[1]));
        else if (words[0] == "text")
            await Send(words[1], WebSocketMessageType.Text, true);
        else if (words[0] == "binary")
            await Send(words[1], WebSocketMessageType.Binary, true);
        else if (words[0] == "fragments")
            for (int at = 1; at < words.Length; at++)
                await Send(words[at], WebSocketMessageType.Text, at == words.Length - 1);
        else if (words[0] == "close")
            await socket.CloseOutputAsync((WebSocketCloseStatus)int.Parse(words[1]), Text(words[2]), CancellationToken.None);
    }

    private static async Task Open(Uri url)
    {
        socket = new ClientWebSocket();
        try
        {
            await socket.ConnectAsync(url, CancellationToken.None);
        }
        catch (WebSocketException error)
        {
            Console.Error.WriteLine(error);
            Say("refused ");
            return;
        }
        Say("opened");
        Listen(socket);
    }

    private static Task Send(string field, WebSocketMessageType type, bool isLast)
    {
        var payload = new ArraySegment<byte>(Convert.FromBase64String(field));
        return socket.SendAsync(payload, type, isLast, CancellationToken.None);
    }

    private static async void Listen(ClientWebSocket open)
    {
        var buffer = new ArraySegment<byte>(new byte[64 * 1024]);
        var message = new MemoryStream();
        try
        {
            while (true)
            {
                WebSocketReceiveResult part = await open.ReceiveAsync(buffer, CancellationToken.None);
                if (part.MessageType == WebSocketMessageType.Close)
                {
                    await Leave(open, part);
                    return;
                }
                message.Write(buffer.Array, 0, part.Count);
                if (!part.EndOfMessage)
                    continue;
                string kind = part.MessageType == WebSocketMessageType.Text ? "text " : "binary ";
                Say(kind + Convert.ToBase64String(message.ToArray()));
                message.SetLength(0);
            }
        }
        catch (Exception error)
        {
            Console.Error.WriteLine(error);
            Say("closed 1006 ");
        }
    }

    private static async Task Leave(ClientWebSocket open, WebSocketReceiveResult close)
    {
        int code = close.CloseStatus.HasValue ? (int)close.CloseStatus.Value : 1005;
        if (open.State == WebSocketState.CloseReceived)
            await open.CloseOutputAsync((WebSocketCloseStatus)1000, "", CancellationToken.None);
        Say("closed " + code + " " + Convert.ToBase64String(Encoding.UTF8.GetBytes(close.CloseStatusDescription ?? "")));
    }

    private static string Text(string field)
    {
        return Encoding.UTF8.GetString(Convert.FromBase64String(field));
    }

    private static void Say(string line)
    {
        lock (typeof(Player))
            Console.Out.WriteLine(line);
    }
}
