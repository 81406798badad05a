// A client of the Sluicegate gateway for Unity (Mono or IL2CPP, .NET Standard 2.0, C# 7.3), in one file.
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
    /// <summary>How a connection ended. 1005: a close without a code. 1006: lost, or never opened.</summary>
    public sealed class Close
    {
        public Close(int code, string reason)
        {
            Code = code;
            Reason = reason ?? "";
        }

        public int Code { get; private set; }
        public string Reason { get; private set; }
    }

    public enum Verdict { Stop, ComeBack, ComeBackWithFreshToken }

    /// <summary>What to do after a close: the gateway's table of close codes.</summary>
    public static class Comeback
    {
        /// <summary>Whether to come back after <paramref name="close"/>. Codes that the gateway does not use are the
        /// service's own: they stop, unless <see cref="ClientOptions.ComeBackAfter"/> says otherwise.</summary>
        public static Verdict After(Close close)
        {
            switch (close.Code)
            {
                case 1001: // the gateway or the service restarts
                case 1005: // ended without a word
                case 1006: // lost
                case 1011: // the service failed
                case 1012: case 1013: case 1014: // restart, overload, bad gateway: of services; Mono shows 1006
                case 4008: // idle
                case 4013: // overloaded
                    return Verdict.ComeBack;
                case 4010: // the token has expired
                    return Verdict.ComeBackWithFreshToken;
                default: // 1008 not permitted, 1009 too big, 4001 kicked, 4003 blocked, 4009 replaced, 4011 revoked
                    return Verdict.Stop;
            }
        }

        /// <summary>How long to wait before attempt number <paramref name="attempt"/> (from 0). A draining gateway names
        /// the milliseconds in its reason; otherwise the wait doubles from half a second to half a minute, and a random
        /// half of it is taken off, so that a crowd does not come back at once.</summary>
        public static TimeSpan Delay(Close close, int attempt, Random random)
        {
            Match named = Regex.Match(close.Reason, @"\d{1,6}");
            if (close.Code == 1001 && attempt == 0 && named.Success)
                return TimeSpan.FromMilliseconds(int.Parse(named.Value));
            if (close.Code == 4010 && attempt == 0)
                return TimeSpan.Zero;
            double longest = Math.Min(30.0, 0.5 * Math.Pow(2, Math.Min(attempt, 10)));
            return TimeSpan.FromSeconds(longest * (0.5 + 0.5 * random.NextDouble()));
        }
    }

    public sealed class ClientOptions
    {
        /// <summary>For example ws://127.0.0.1:8666/ws/experience, without a query.</summary>
        public string Url;
        public string Experience;
        /// <summary>Gives the access token for the next connection. The argument is true when the last one has expired,
        /// and a new one must be fetched. What it throws ends RunAsync.</summary>
        public Func<bool, Task<string>> Token;
        /// <summary>Offered to the service; null for none.</summary>
        public string SubProtocol;
        /// <summary>Asked after a close code that is the service's own (3000-4999, none of the gateway's); null: stop.</summary>
        public Func<Close, bool> ComeBackAfter;
        public int MaxMessageBytes = 4 * 1024 * 1024;
        public TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);
        public TimeSpan SendTimeout = TimeSpan.FromSeconds(10);
        /// <summary>A ping of the KB protocol goes out this often; hearing nothing at all for three times as long means
        /// that the connection is lost. TimeSpan.Zero for services that do not know it.</summary>
        public TimeSpan PingInterval = TimeSpan.FromSeconds(15);
    }

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

        public SluicegateClient(ClientOptions options)
        {
            this.options = options;
        }

        /// <summary>The socket is open. The service's greeting follows as a message.</summary>
        public event Action Opened;
        /// <summary>A text message of the service, or an event, whole.</summary>
        public event Action<string> MessageReceived;
        /// <summary>A message of the gateway itself, such as gateway.refreshed.</summary>
        public event Action<string> GatewayMessageReceived;
        /// <summary>The socket has closed. The delay is how long until the next attempt; null when there is none.</summary>
        public event Action<Close, TimeSpan?> Closed;

        /// <summary>Connect and stay connected. Ends with the close after which there is no coming back, or, when
        /// <paramref name="stop"/> is cancelled, with a close of 1000.</summary>
        public async Task<Close> RunAsync(CancellationToken stop)
        {
            bool freshToken = false;
            for (int attempt = 0; ; attempt++)
            {
                DateTime startedAt = DateTime.UtcNow;
                Close close = await ConnectAndReceive(freshToken, stop);
                if (stop.IsCancellationRequested)
                    return new Close(1000, "");
                Verdict verdict = Judge(close);
                if (verdict == Verdict.Stop)
                {
                    Raise(Closed, close, null);
                    return close;
                }
                if (DateTime.UtcNow - startedAt > Steady)
                    attempt = 0;
                freshToken = verdict == Verdict.ComeBackWithFreshToken;
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
            // Exactly so, without spaces: the gateway knows its own messages by how they begin.
            return SendAsync("{\"type\":\"gateway.refresh\",\"token\":\"" + token + "\"}");
        }

        private Verdict Judge(Close close)
        {
            Verdict verdict = Comeback.After(close);
            bool ofTheService = close.Code >= 3000 && verdict == Verdict.Stop && !IsTheGateways(close.Code);
            if (ofTheService && options.ComeBackAfter != null && options.ComeBackAfter(close))
                return Verdict.ComeBack;
            return verdict;
        }

        private static bool IsTheGateways(int code)
        {
            return code == 4001 || code == 4003 || code == 4009 || code == 4011;
        }

        private async Task<Close> ConnectAndReceive(bool freshToken, CancellationToken stop)
        {
            string token = await options.Token(freshToken); // what it throws ends RunAsync
            using (var opening = new ClientWebSocket())
            using (var ended = new CancellationTokenSource())
            using (var leaving = CancellationTokenSource.CreateLinkedTokenSource(stop, ended.Token))
            {
                Task pinging = null;
                try
                {
                    await Connect(opening, token, stop);
                    socket = opening;
                    heardAt = DateTime.UtcNow;
                    pinging = PingUntil(opening, leaving.Token);
                    using (stop.Register(() => Leave(opening, ended.Token)))
                    {
                        Raise(Opened);
                        return await Receive(opening);
                    }
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
                }
            }
        }

        private async Task Connect(ClientWebSocket opening, string token, CancellationToken stop)
        {
            if (options.SubProtocol != null)
                opening.Options.AddSubProtocol(options.SubProtocol);
            // refuse=close: Mono shows neither the status nor the body of a refusal, but it shows a close.
            var url = new Uri(options.Url + "?token=" + Uri.EscapeDataString(token)
                + "&experience=" + Uri.EscapeDataString(options.Experience) + "&refuse=close");
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
        private async Task<Close> Receive(ClientWebSocket open)
        {
            var buffer = new ArraySegment<byte>(new byte[16 * 1024]);
            var message = new MemoryStream();
            while (true)
            {
                WebSocketReceiveResult part = await ReceivePart(open, buffer);
                if (part.MessageType == WebSocketMessageType.Close)
                {
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
                if (part.MessageType == WebSocketMessageType.Text)
                    Deliver(Encoding.UTF8.GetString(message.GetBuffer(), 0, (int)message.Length));
                message.SetLength(0);
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
            Raise(ofTheGateway ? GatewayMessageReceived : MessageReceived, text);
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

        private static void Raise(Action raised) { if (raised != null) raised(); }
        private static void Raise(Action<string> raised, string text) { if (raised != null) raised(text); }
        private static void Raise(Action<Close, TimeSpan?> raised, Close close, TimeSpan? delay)
        {
            if (raised != null) raised(close, delay);
        }
    }
}
