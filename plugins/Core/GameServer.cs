// GameServer: the game's end of BonkLink. Listens on TCP or a named pipe, talks to one agent at a
// time (the newest connection replaces the old one), sends the newest state and frame, puts actions
// into a mailbox. Its threads never touch the game; the main thread only copies into it and out of
// it, and never waits for an agent.
using System;
using System.Collections.Generic;
using System.IO;
using System.IO.Pipes;
using System.Net;
using System.Net.Sockets;
using System.Threading;

namespace Metabonk.Core
{
    public sealed class ServerOptions
    {
        public string Host = "127.0.0.1";
        public int Port = 5555;  // 0: one that is free
        public string Pipe = "";  // a named pipe instead of TCP
        public Protocol Protocol = Protocol.Auto;
        public Limits Limits = new Limits();
        public Axes Axes = Axes.Ours;  // of v1's states; with Unity's no MBX2 is sent in v1
        /// <summary>A secret that an agent must say in HELLO before anything is sent to it; v1
        /// cannot. Required beyond this machine.</summary>
        public string Token = "";
        public string Name = "metabonk plugin";
        public PixelFormat Format = PixelFormat.Jpeg;  // of frames, where the agent takes it
        public int JpegQuality = 85;
        public int Width, Height, Rate;
        public string Ring = "";  // name of the frame ring; empty: none
        public bool Resets;       // RESET is heeded
        public int HandshakeMs = 5000;
        public int IdleMs = 30000;  // an agent that said or read nothing for so long is let go

        /// <summary>Nobody is sent anything, nor takes another's place, before HELLO.</summary>
        public bool OwesHello { get { return Token.Length > 0 || Protocol == Protocol.V2; } }

        /// <summary>What this end can send and do; of these an agent chooses.</summary>
        public Capabilities Offered
        {
            get
            {
                Capabilities can = Capabilities.Jpeg | Capabilities.Extra | Capabilities.Input
                    | Capabilities.Step;
                if (Format != PixelFormat.Jpeg)
                    can |= Capabilities.Rgb | Capabilities.Rgba | Capabilities.BottomUp;
                if (Ring.Length > 0) can |= Capabilities.Ring;
                if (Resets) can |= Capabilities.Resets;
                return can;
            }
        }
    }

    /// <summary>What happened on the link, since it was opened.</summary>
    public struct LinkCounts
    {
        public long Connections, Refused, ProtocolErrors, StatesSent, StatesOvertaken, FramesSent,
            FramesOvertaken, FramesTooLarge;
        public long StatesWithoutAgent, Actions, ActionsSkipped, Resets;
    }

    public sealed class GameServer : IDisposable
    {
        const int CandidatesMax = 16, AcceptPollUs = 50000;

        internal readonly ServerOptions Options;
        internal readonly object Gate = new object();
        readonly Action<string> log;
        readonly TcpListener listener;
        readonly Thread accepting;
        readonly List<Connection> candidates = new List<Connection>();
        Connection current;
        NamedPipeServerStream waitingPipe;
        bool closed;
        internal LinkCounts counts;
        ResetRequest? reset;

        public ActionMailbox Actions { get; private set; }

        /// <summary>Listens from now on. IOException or SocketException, naming the address, if it
        /// cannot.</summary>
        public GameServer(ServerOptions options, ActionMailbox actions, Action<string> log)
        {
            Options = options;
            Actions = actions;
            this.log = log ?? delegate { };
            if (options.Pipe.Length > 0)
            {
                waitingPipe = NewPipe();
            }
            else
            {
                IPAddress address = Resolve(options.Host);
                if (!IPAddress.IsLoopback(address) && options.Token.Length == 0)
                    throw new ArgumentException("Host: " + options.Host
                        + " is beyond this machine and needs a Token");
                listener = new TcpListener(address, options.Port);
                try
                {
                    listener.Start();
                }
                catch (SocketException error)
                {
                    throw new IOException("Port: " + options.Host + ":" + options.Port
                        + " cannot be listened on (" + error.Message
                        + "); another game instance or the cognitive server may have it: set another Port", error);
                }
            }
            accepting = new Thread(Accept) { IsBackground = true, Name = "metabonk accept" };
            accepting.Start();
        }

        static IPAddress Resolve(string host)
        {
            IPAddress address;
            if (host == "localhost") return IPAddress.Loopback;
            if (IPAddress.TryParse(host, out address)) return address;
            throw new ArgumentException("Host: '" + host
                + "' is no address; write 127.0.0.1 for this machine");
        }

        public int Port { get { return listener == null ? 0
            : ((IPEndPoint)listener.LocalEndpoint).Port; } }
        public LinkCounts Counts { get { lock (Gate) return counts; } }
        public bool Connected { get { lock (Gate) return current != null; } }

        /// <summary>Of the agent that is there, counted from 1: a change means another. 0 while
        /// nobody is.</summary>
        public long ConnectionNumber { get { lock (Gate) return current == null ? 0
            : counts.Connections; } }

        /// <summary>1 or 2, or 0 while nobody is there.</summary>
        public int Version { get { lock (Gate) return current == null ? 0 : current.Version; } }

        /// <summary>Frames need not be published: the agent takes them from the ring.</summary>
        public bool UsesRing { get { lock (Gate) return current != null && current.UsesRing; } }

        /// <summary>Hands a state over; it is copied. Main thread, once per tick.</summary>
        public void Publish(GameState state, StateTrailers trailers, long captureNs)
        {
            lock (Gate)
            {
                if (current == null) ++counts.StatesWithoutAgent;
                else current.Publish(state, trailers, captureNs);
            }
        }

        /// <summary>Hands a picture over; it is copied.</summary>
        public void Publish(Frame frame)
        {
            lock (Gate)
            {
                if (current != null && !current.UsesRing) current.Publish(frame);
            }
        }

        /// <summary>A RESET that was not taken yet.</summary>
        public bool TakeReset(out ResetRequest request)
        {
            lock (Gate)
            {
                request = reset.GetValueOrDefault();
                bool any = reset.HasValue;
                reset = null;
                return any;
            }
        }

        // What connections tell. Under Gate.
        internal void Ask(ResetRequest request)
        {
            ++counts.Resets;
            reset = request;
        }

        internal void Log(string line) { log(line); }

        void Accept()
        {
            while (true)
            {
                Stream stream;
                Socket socket = null;
                try
                {
                    if (listener != null)
                    {
                        // A blocking accept would keep .NET's Stop waiting for ever.
                        if (!listener.Server.Poll(AcceptPollUs, SelectMode.SelectRead))
                        {
                            lock (Gate) if (closed) return;
                            continue;
                        }
                        socket = listener.AcceptSocket();
                        socket.NoDelay = true;
                        stream = new NetworkStream(socket, true);
                    }
                    else
                    {
                        NamedPipeServerStream pipe = waitingPipe;
                        pipe.WaitForConnection();
                        stream = pipe;
                        lock (Gate) waitingPipe = closed ? null : NewPipe();
                    }
                }
                catch (Exception error) when (error is SocketException || error is IOException
                    || error is ObjectDisposedException || error is InvalidOperationException)
                {
                    lock (Gate) if (closed) return;
                    log("accepting failed: " + error.Message);
                    Thread.Sleep(50);  // a failure that stays must not spin
                    continue;
                }
                Welcome(new Connection(this, stream, socket));
            }
        }

        NamedPipeServerStream NewPipe()
        {
            // Mono has the class on Unix, and nothing behind it.
            bool hollow = Path.DirectorySeparatorChar == '/'
                && Type.GetType("Mono.Runtime") != null;
            if (hollow)
                throw new IOException("UsePipe: this runtime has no named pipes; set UsePipe = false");
            try
            {
                return new NamedPipeServerStream(Options.Pipe, PipeDirection.InOut,
                    NamedPipeServerStream.MaxAllowedServerInstances,
                    PipeTransmissionMode.Byte, PipeOptions.Asynchronous);
            }
            catch (Exception error) when (error is NotImplementedException
                || error is PlatformNotSupportedException)
            {
                throw new IOException("UsePipe: this runtime has no named pipes; set UsePipe = false", error);
            }
        }

        void Welcome(Connection connection)
        {
            Connection before = null;
            lock (Gate)
            {
                if (!closed)
                {
                    if (!Options.OwesHello) Admit(connection);
                    else
                    {
                        // Who waits longest makes room: strangers push out each other.
                        if (candidates.Count == CandidatesMax) before = candidates[0];
                        candidates.Remove(before);
                        candidates.Add(connection);
                    }
                    connection.Start();
                }
                else before = connection;
            }
            if (before != null) before.Close();
        }

        /// <summary>A connection takes the place of the one before. Under Gate.</summary>
        internal void Admit(Connection connection)
        {
            candidates.Remove(connection);
            if (current == connection) return;
            Connection before = current;
            current = connection;
            ++counts.Connections;
            Actions.Clear();
            if (before != null)
                before.End(ByeReason.Replaced, "a newer connection took this one's place");
        }

        /// <summary>A connection has ended. refused: it was never let in.</summary>
        internal void Gone(Connection connection, bool refused)
        {
            lock (Gate)
            {
                candidates.Remove(connection);
                if (refused && !closed) ++counts.Refused;
                if (current != connection) return;
                current = null;
                Actions.Clear();
            }
        }

        public void Dispose()
        {
            var left = new List<Connection>();
            lock (Gate)
            {
                if (closed) return;
                closed = true;
                left.AddRange(candidates);
                if (current != null) left.Add(current);
                foreach (Connection connection in left)
                    connection.End(ByeReason.Leaving, "the game ends");
                if (waitingPipe != null) waitingPipe.Dispose();
            }
            if (listener != null) listener.Stop();
            foreach (Connection connection in left) connection.Join();
        }
    }
}
