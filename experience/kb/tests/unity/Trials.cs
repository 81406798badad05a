// Trials of the sample client that its console example cannot make.
//
//   mono trials.exe verdicts CODE...      what it does after each close code
//   mono trials.exe delays REASON...      the milliseconds it waits after a 4013 with that reason, at the first attempt
//   mono trials.exe heard MESSAGE...       whether to fetch the state, and whether to come back, after each
//   mono trials.exe stubborn URL          a game whose every callback throws, and whose token fails twice

using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace Sluicegate
{
    public static class Trials
    {
        public static void Main(string[] arguments)
        {
            string[] rest = arguments.Skip(1).ToArray();
            var since = new Since();
            if (arguments[0] == "verdicts")
                foreach (string code in rest)
                    Console.WriteLine(code + " " + Comeback.After(new Close(int.Parse(code), "")));
            else if (arguments[0] == "delays")
                foreach (string reason in rest)
                    Console.WriteLine(Comeback.Delay(new Close(4013, reason), 0, new Random()).TotalMilliseconds);
            else if (arguments[0] == "heard")
                foreach (string message in rest)
                    Console.WriteLine(since.Heard(message) + " " + since.AsksToComeBack(message));
            else
                Console.WriteLine("ended " + Stubborn(rest[0]).GetAwaiter().GetResult().Code);
        }

        private static Task<Close> Stubborn(string url)
        {
            int asked = 0;
            var client = new SluicegateClient(new ClientOptions
            {
                Url = url,
                Experience = "wylding-woods",
                SubProtocol = "kb.v1",
                PingInterval = TimeSpan.Zero,
                TokenTimeout = TimeSpan.FromSeconds(1),
                Token = async fresh =>
                {
                    asked++;
                    if (asked == 1)
                        throw new Exception("no session yet");
                    if (asked == 2)
                        await Task.Delay(Timeout.Infinite);
                    return "token";
                },
                ComeBackAfter = close => { throw new Exception("undecided"); },
            });
            client.Opened += () => { throw new Exception("in Opened"); };
            client.Opened += () => Console.WriteLine("opened");
            client.MessageReceived += text => { throw new Exception("in MessageReceived"); };
            client.MessageReceived += text => Console.WriteLine("message " + text);
            client.GatewayMessageReceived += text => { throw new Exception("in GatewayMessageReceived"); };
            client.Closed += (close, delay) => { throw new Exception("in Closed"); };
            client.Closed += (close, delay) => Console.WriteLine("closed " + close.Code);
            client.CallbackFailed += error =>
            {
                Console.WriteLine("failed " + error.Message);
                throw new Exception("in CallbackFailed");
            };
            return client.RunAsync(CancellationToken.None);
        }
    }
}
