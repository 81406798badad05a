// What a game tells the client of the Sluicegate gateway.

using System;
using System.Threading.Tasks;

namespace Sluicegate
{
    public sealed class ClientOptions
    {
        /// <summary>For example ws://127.0.0.1:8666/ws/experience, without a query.</summary>
        public string Url;
        public string Experience;
        /// <summary>Gives the access token for the next connection. The argument is true when the last one has expired,
        /// and a new one must be fetched. When it fails, or takes longer than TokenTimeout, it is asked again later.</summary>
        public Func<bool, Task<string>> Token;
        public TimeSpan TokenTimeout = TimeSpan.FromSeconds(30);
        /// <summary>Offered to the service; null for none.</summary>
        public string SubProtocol;
        /// <summary>Asked after a close code that is the service's own (3000-4999, none of the gateway's); null: stop.</summary>
        public Func<Close, bool> ComeBackAfter;
        /// <summary>For routes whose topics have a history: a new Since(), and the client hears what it missed. Null: none.</summary>
        public Since Since;
        public int MaxMessageBytes = 4 * 1024 * 1024;
        public TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);
        /// <summary>A refused handshake is accepted and closed at once (`refuse=close`). So a link counts as served with
        /// its first message, or, where the service waits to be spoken to, after this long without a close.</summary>
        public TimeSpan ServedAfter = TimeSpan.FromSeconds(1);
        public TimeSpan SendTimeout = TimeSpan.FromSeconds(10);
        /// <summary>A ping of the KB protocol goes out this often; hearing nothing at all for three times as long means
        /// that the connection is lost. TimeSpan.Zero for services that do not know it.</summary>
        public TimeSpan PingInterval = TimeSpan.FromSeconds(15);
    }
}
