// A console client around SluicegateClient: prints what it hears, sends the lines of its standard input.
//
//   mcs -out:example.exe ClientOptions.cs Comeback.cs Since.cs SluicegateClient.cs Example.cs
//   mono example.exe ws://127.0.0.1:8666/ws/experience wylding-woods TOKEN [FRESH_TOKEN]
//
// The line `refresh TOKEN` refreshes the token in place; the end of the input ends the connection.

using System;
using System.Threading;
using System.Threading.Tasks;

namespace Sluicegate
{
    public static class Example
    {
        public static int Main(string[] arguments)
        {
            var options = new ClientOptions
            {
                Url = arguments[0],
                Experience = arguments[1],
                Token = fresh => Task.FromResult(arguments[fresh && arguments.Length > 3 ? 3 : 2]),
                SubProtocol = "kb.v1",
            };
            Close close = Play(new SluicegateClient(options)).GetAwaiter().GetResult();
            Console.WriteLine("ended " + close.Code + " " + close.Reason);
            return close.Code == 1000 ? 0 : 1;
        }

        private static async Task<Close> Play(SluicegateClient client)
        {
            using (var stop = new CancellationTokenSource())
            {
                client.Opened += () => Console.WriteLine("opened");
                client.MessageReceived += text => Console.WriteLine("message " + text);
                client.GatewayMessageReceived += text => Console.WriteLine("gateway " + text);
                client.Closed += (close, delay) =>
                    Console.WriteLine("closed " + close.Code + " " + (delay.HasValue ? "coming back" : "for good"));
                client.CallbackFailed += error => Console.WriteLine("failed " + error.Message);
                Task<Close> running = client.RunAsync(stop.Token);
                new Thread(() => SendLines(client, stop)) { IsBackground = true }.Start();
                return await running;
            }
        }

        private static void SendLines(SluicegateClient client, CancellationTokenSource stop)
        {
            string line;
            while ((line = Console.ReadLine()) != null)
            {
                try
                {
                    Send(client, line).GetAwaiter().GetResult();
                }
                catch (Exception error)
                {
                    Console.WriteLine("not sent: " + error.Message);
                }
            }
            stop.Cancel();
        }

        private static Task Send(SluicegateClient client, string line)
        {
            const string refresh = "refresh ";
            return line.StartsWith(refresh, StringComparison.Ordinal)
                ? client.RefreshAsync(line.Substring(refresh.Length))
                : client.SendAsync(line);
        }
    }
}
