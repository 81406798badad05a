// What a client has heard of topics with a history, so that it hears the rest when it comes back (docs/history.md).
// For any client: say it in the query of each connection, "&since=" + since.Value, and show it each message.

using System;
using System.Text.RegularExpressions;

namespace Sluicegate
{
    public sealed class Since
    {
        // It is the last field of whatever has one: no JSON library is needed.
        private static readonly Regex Last = new Regex("\"since\":\"([0-9-]*)\"}$");
        private const string Missed = "{\"type\":\"gateway.recovered\",\"recovered\":false";
        private const string MayHaveMissed = "{\"type\":\"gateway.resync\"";

        /// <summary>Behind which event the client is; empty before the first connection.</summary>
        public string Value { get; private set; } = "";

        /// <summary>Call it with each message. True: what was missed cannot be told; fetch the state anew.</summary>
        public bool Heard(string message)
        {
            Match found = Last.Match(message);
            if (found.Success)
                Value = found.Groups[1].Value;
            return message.StartsWith(Missed, StringComparison.Ordinal)
                || (Value.Length == 0 && MayBeMissing(message));
        }

        /// <summary>Whether this message says that something may be missing, and that to come back brings it.</summary>
        public bool AsksToComeBack(string message)
        {
            return Value.Length > 0 && MayBeMissing(message);
        }

        private static bool MayBeMissing(string message)
        {
            return message.StartsWith(MayHaveMissed, StringComparison.Ordinal);
        }
    }
}
