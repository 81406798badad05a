// A client of the Sluicegate gateway for Unity (Mono or IL2CPP, .NET Standard 2.0, C# 7.3): this file,
// ClientOptions.cs, Comeback.cs and Since.cs.
//
// It needs nothing of UnityEngine. Started from Unity's main thread, it raises its events there, because it never leaves
// the synchronization context it was started in. WebGL has no ClientWebSocket: use a browser WebSocket there, with the
// same URL and the same rules (`Comeback`).

using System;
using System.IO;
using System.Net.WebSockets;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;

namespace Sluicegate
{
    /// <summary>One connection that is kept, over reconnects, until it is told or has reason to stop.</summary>
    public sealed class SluicegateClient
    {
        private const int Lost = 1006;
        private const string ControlPrefix = "{\"type\":\"gateway.";
        // A connection that lived this long was a good one: the next wait begins small again.
        private static readonly TimeSpan Steady = TimeSpan.FromSeconds(10);
        private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(2);

        private readonly ClientOptions options;
        private readonly SemaphoreSlim sending = new SemaphoreSlim(1, 1);
        private readonly Random random = new Random();
        private ClientWebSocket socket; // the open one, or null
        private DateTime heardAt;
        private DateTime? servedAt; // of the current connection; null: not served, or not yet

        public SluicegateClient(ClientOptions options)
        {
            this.options = options;
        }

        /// <summary>The service is there: raised once a link, before its first message. A link that is refused has none.</summary>
        public event Action Opened;
        /// <summary>A text message of the service, or an event, whole.</summary>
        public event Action<string> MessageReceived;
        /// <summary>A message of the gateway itself, such as gateway.refreshed.</summary>
        public event Action<string> GatewayMessageReceived;
        /// <summary>With options.Since: what was missed cannot be told, or this is the first time. Fetch the state anew.</summary>
        public event Action Missed;
        /// <summary>The socket has closed, or could not be opened. The delay is how long until the next attempt; null when
        /// there is none.</summary>
        public event Action<Close, TimeSpan?> Closed;
        /// <summary>One of your own callbacks has thrown this. The connection goes on.</summary>
        public event Action<Exception> CallbackFailed;

        /// <summary>Connect and stay connected. Ends with the close after which there is no coming back, or, when
        /// <paramref name="stop"/> is cancelled, with a close of 1000.</summary>
        public async Task<Close> RunAsync(CancellationToken stop)
        {
            bool freshToken = false;
            for (int attempt = 0; ; attempt++)
            {
                string token = await AskForToken(freshToken, stop);
                servedAt = null;
                Close close = token == null ? new Close(Lost, "no token") : await ConnectAndReceive(token, stop);
                if (stop.IsCancellationRequested)
                    return new Close(1000, "");
                Verdict verdict = Judge(close);
                if (verdict == Verdict.Stop)
                {
                    Raise(Closed, close, null);
                    return close;
                }
                if (servedAt.HasValue && DateTime.UtcNow - servedAt.Value > Steady)
                    attempt = 0;
                freshToken = verdict == Verdict.ComeBackWithFreshToken || (freshToken && token == null);
                TimeSpan delay = Comeback.Delay(close, attempt, random);
                Raise(Closed, close, delay);
                if (!await Sleep(delay, stop))
                    return new Close(1000, "");
            }
        }

        /// <summary>Send one text message. Throws InvalidOperationException when not connected; what was not sent is not
        /// kept for later, since only the game knows whether it still matters.</summary>
        public async Task SendAsync(string text)
        {
            ClientWebSocket current = socket;
            if (current == null)
                throw new InvalidOperationException("not connected");
            var payload = new ArraySegment<byte>(Encoding.UTF8.GetBytes(text));
            using (var deadline = new CancellationTokenSource(options.SendTimeout))
            {
                await sending.WaitAsync(deadline.Token); // a ClientWebSocket takes one send at a time
                try
                {
                    await current.SendAsync(payload, WebSocketMessageType.Text, true, deadline.Token);
                }
                finally
                {
                    sending.Release();
                }
            }
        }

        /// <summary>Give the gateway a new token for the open socket, before the old one expires. It is answered with a
        /// gateway.refreshed, or with an error whose code is invalid_token.</summary>
        public Task RefreshAsync(string token)
        {
            if (!Regex.IsMatch(token, @"^[A-Za-z0-9_.\-]+$"))
                throw new ArgumentException("not a token", "token");
            return SendAsync("{\"type\":\"gateway.refresh\",\"token\":\"" + token + "\"}");
        }

        private Verdict Judge(Close close)
        {
            Verdict verdict = Comeback.After(close);
            bool ofTheService = Comeback.Meaning(close.Code) >= 3000 && verdict == Verdict.Stop && !IsTheGateways(close.Code);
            if (!ofTheService || options.ComeBackAfter == null)
                return verdict;
            bool comeBack = true; // if the callback fails, too
            Guard(() => comeBack = options.ComeBackAfter(close));
            return comeBack ? Verdict.ComeBack : Verdict.Stop;
        }

        private static bool IsTheGateways(int code)
        {
            return code == 4001 || code == 4003 || code == 4009;
        }

        /// <summary>The token, or null when there is none this time.</summary>
        private async Task<string> AskForToken(bool fresh, CancellationToken stop)
        {
            try
            {
                Task<string> asked = options.Token(fresh);
                if (await Task.WhenAny(asked, Task.Delay(options.TokenTimeout, stop)) != asked)
                    throw new TimeoutException("the token callback has not answered");
                string token = await asked;
                if (string.IsNullOrEmpty(token))
                    throw new InvalidOperationException("the token callback gave no token");
                return token;
            }
            catch (Exception error) // whatever the game's own code throws
            {
                if (!stop.IsCancellationRequested)
                    Report(error);
                return null;
            }
        }

        private async Task<Close> ConnectAndReceive(string token, CancellationToken stop)
        {
            using (var opening = new ClientWebSocket())
            using (var ended = new CancellationTokenSource())
            using (var leaving = CancellationTokenSource.CreateLinkedTokenSource(stop, ended.Token))
            {
                Task pinging = null, waiting = null;
                var served = new Once();
                try
                {
                    await Connect(opening, token, stop);
                    socket = opening;
                    heardAt = DateTime.UtcNow;
                    pinging = PingUntil(opening, leaving.Token);
                    waiting = ServeAfterAWhile(served, leaving.Token);
                    using (stop.Register(() => Leave(opening, ended.Token)))
                        return await Receive(opening, served);
                }
                catch (ConnectionLost lost)
                {
                    return new Close(Lost, lost.Message);
                }
                finally
                {
                    socket = null;
                    ended.Cancel();
                    if (pinging != null)
                        await pinging;
                    if (waiting != null)
                        await waiting;
                }
            }
        }

        private async Task ServeAfterAWhile(Once served, CancellationToken leaving)
        {
            if (await Sleep(options.ServedAfter, leaving))
                Serve(served);
        }

        private void Serve(Once served)
        {
            if (!served.IsFirst())
                return;
            servedAt = DateTime.UtcNow;
            Raise(Opened);
        }

        private async Task Connect(ClientWebSocket opening, string token, CancellationToken stop)
        {
            if (options.SubProtocol != null)
                opening.Options.AddSubProtocol(options.SubProtocol);
            // refuse=close: Mono shows neither the status nor the body of a refusal, but it shows a close.
            var url = new Uri(options.Url + "?token=" + Uri.EscapeDataString(token)
                + "&experience=" + Uri.EscapeDataString(options.Experience) + "&refuse=close"
                + (options.Since == null ? "" : "&since=" + options.Since.Value));
            using (var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop))
            {
                deadline.CancelAfter(options.ConnectTimeout);
                try
                {
                    await opening.ConnectAsync(url, deadline.Token);
                }
                catch (Exception error) when (IsConnectionFailure(error))
                {
                    throw new ConnectionLost(error);
                }
            }
        }

        // A receive is always pending: Mono answers the gateway's pings only then.
        private async Task<Close> Receive(ClientWebSocket open, Once served)
        {
            var buffer = new ArraySegment<byte>(new byte[16 * 1024]);
            var message = new MemoryStream();
            while (true)
            {
                WebSocketReceiveResult part = await ReceivePart(open, buffer);
                if (part.MessageType == WebSocketMessageType.Close)
                {
                    served.IsFirst(); // too late for it now
                    int code = part.CloseStatus.HasValue ? (int)part.CloseStatus.Value : 1005;
                    await SayGoodbye(open, code);
                    return new Close(code, part.CloseStatusDescription);
                }
                message.Write(buffer.Array, 0, part.Count);
                if (message.Length > options.MaxMessageBytes)
                {
                    await SayGoodbye(open, 1009);
                    return new Close(1009, "message too big");
                }
                if (!part.EndOfMessage)
                    continue;
                Serve(served);
                string text = Encoding.UTF8.GetString(message.GetBuffer(), 0, (int)message.Length);
                message.SetLength(0);
                if (part.MessageType != WebSocketMessageType.Text)
                    continue;
                Deliver(text);
                if (options.Since != null && options.Since.AsksToComeBack(text))
                {
                    await SayGoodbye(open, 1000);
                    return new Close(Lost, "back for what was missed");
                }
            }
        }

        private async Task<WebSocketReceiveResult> ReceivePart(ClientWebSocket open, ArraySegment<byte> buffer)
        {
            try
            {
                // Without a token: a cancelled receive would cut the connection before its close is said.
                WebSocketReceiveResult part = await open.ReceiveAsync(buffer, CancellationToken.None);
                heardAt = DateTime.UtcNow;
                return part;
            }
            catch (Exception error) when (IsConnectionFailure(error))
            {
                throw new ConnectionLost(error);
            }
        }

        // Says goodbye; the answer to it ends Receive, or else the abort does.
        private static async void Leave(ClientWebSocket open, CancellationToken ended)
        {
            await SayGoodbye(open, 1000);
            if (await Sleep(CloseTimeout, ended))
                open.Abort();
        }

        private void Deliver(string text)
        {
            bool ofTheGateway = text.StartsWith(ControlPrefix, StringComparison.Ordinal);
            bool missed = options.Since != null && options.Since.Heard(text);
            Raise(ofTheGateway ? GatewayMessageReceived : MessageReceived, text);
            if (missed)
                Raise(Missed);
        }

        private async Task PingUntil(ClientWebSocket open, CancellationToken leaving)
        {
            if (options.PingInterval <= TimeSpan.Zero)
                return;
            long longest = options.PingInterval.Ticks * 3;
            while (await Sleep(options.PingInterval, leaving))
            {
                if ((DateTime.UtcNow - heardAt).Ticks > longest)
                {
                    open.Abort(); // the pending receive fails, which ends the connection as lost
                    return;
                }
                try
                {
                    await SendAsync("{\"type\":\"ping\"}");
                }
                catch (Exception error) when (IsConnectionFailure(error))
                {
                    open.Abort();
                    return;
                }
            }
        }

        private static async Task SayGoodbye(ClientWebSocket open, int code)
        {
            bool sendable = (code >= 1000 && code <= 1011 && code != 1004 && code != 1005 && code != 1006) || code >= 3000;
            try
            {
                using (var deadline = new CancellationTokenSource(CloseTimeout))
                    await open.CloseOutputAsync((WebSocketCloseStatus)(sendable ? code : 1000), "", deadline.Token);
            }
            catch (Exception error) when (IsConnectionFailure(error))
            {
                // It is gone already; so are we.
            }
        }

        private static bool IsConnectionFailure(Exception error)
        {
            return error is WebSocketException || error is IOException || error is OperationCanceledException
                || error is ObjectDisposedException || error is InvalidOperationException
                || error is System.Net.WebException || error is System.Net.Sockets.SocketException;
        }

        /// <summary>True after the whole delay, false when it was cut short.</summary>
        private static async Task<bool> Sleep(TimeSpan delay, CancellationToken stop)
        {
            try
            {
                await Task.Delay(delay, stop);
                return true;
            }
            catch (OperationCanceledException)
            {
                return false;
            }
        }

        private sealed class ConnectionLost : Exception
        {
            public ConnectionLost(Exception cause) : base(cause.Message, cause) { }
        }

        /// <summary>Tells who comes first, whichever thread it is.</summary>
        private sealed class Once
        {
            private int taken;
            public bool IsFirst() { return Interlocked.Exchange(ref taken, 1) == 0; }
        }

        // Each handler by itself: one that throws costs neither the others nor the connection.
        private void Raise(Action raised)
        {
            foreach (Action handler in Handlers(raised))
                Guard(handler);
        }

        private void Raise(Action<string> raised, string text)
        {
            foreach (Action<string> handler in Handlers(raised))
                Guard(() => handler(text));
        }

        private void Raise(Action<Close, TimeSpan?> raised, Close close, TimeSpan? delay)
        {
            foreach (Action<Close, TimeSpan?> handler in Handlers(raised))
                Guard(() => handler(close, delay));
        }

        private static Delegate[] Handlers(Delegate raised)
        {
            return raised == null ? new Delegate[0] : raised.GetInvocationList();
        }

        private void Guard(Action callback)
        {
            try
            {
                callback();
            }
            catch (Exception error) // whatever the game's own code throws
            {
                Report(error);
            }
        }

        private void Report(Exception error)
        {
            try
            {
                if (CallbackFailed != null)
                    CallbackFailed(error);
            }
            catch (Exception)
            {
                // There is nobody left to tell.
            }
        }
    }
}
