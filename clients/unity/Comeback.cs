// What a close means to a client of the Sluicegate gateway. Pure: no socket, no clock.

using System;
using System.Text.RegularExpressions;

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

    /// <summary>What to do after a close: the gateway's table of close codes (docs/protocol.md).</summary>
    public static class Comeback
    {
        /// <summary>Whether to come back after <paramref name="close"/>. Codes that the gateway does not use are the
        /// service's own: they stop, unless <see cref="ClientOptions.ComeBackAfter"/> says otherwise.</summary>
        public static Verdict After(Close close)
        {
            switch (Meaning(close.Code))
            {
                case 1001: // the gateway or the service restarts
                case 1005: // ended without a word
                case 1006: // lost
                case 1011: // the service failed
                case 1012: case 1013: case 1014: // restart, overload, bad gateway: of services; Mono shows 1006
                case 4008: // idle
                case 4013: // overloaded, or too many connections
                    return Verdict.ComeBack;
                case 4010: // the token has expired
                    return Verdict.ComeBackWithFreshToken;
                default: // 1008 not permitted, 1009 too big, 4001 kicked, 4003 blocked, 4009 replaced, 4011 revoked
                    return Verdict.Stop;
            }
        }

        /// <summary>How long to wait before attempt number <paramref name="attempt"/> (from 0). 1001 and 4013 name the
        /// milliseconds in their reason, and it is never less. The wait doubles from half a second to half a minute with
        /// each attempt that fails, and some of it is left to chance, so that a crowd does not come back at once.</summary>
        public static TimeSpan Delay(Close close, int attempt, Random random)
        {
            int code = Meaning(close.Code);
            if (code == 4010 && attempt == 0)
                return TimeSpan.Zero;
            double longest = Math.Min(30.0, 0.5 * Math.Pow(2, Math.Min(attempt, 10)));
            double seconds = longest * (0.5 + 0.5 * random.NextDouble());
            Match named = Regex.Match(close.Reason, @"\b(\d{1,6}) ms\b");
            if ((code == 1001 || code == 4013) && named.Success)
            {
                double told = int.Parse(named.Groups[1].Value) / 1000.0 * (1 + 0.25 * random.NextDouble());
                seconds = attempt == 0 ? told : Math.Max(told, seconds);
            }
            return TimeSpan.FromSeconds(seconds);
        }

        /// <summary>The code that is meant. Behind a stock Daphne, 4900 to 4914 stand for 1000 to 1014.</summary>
        public static int Meaning(int code)
        {
            return code >= 4900 && code <= 4914 ? code - 3900 : code;
        }
    }
}
