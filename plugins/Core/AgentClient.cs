// AgentClient: the agent's end of BonkLink, for programs in C# and for trying a game's end out. One
// thread reads until the newest state; whoever asks gets that. Does not reconnect and does not
// decode JPEG.
using System;
using System.IO;
using System.Net.Sockets;
using System.Threading;

namespace Metabonk.Core
{
    public sealed class ClientOptions
    {
        public string Host = "127.0.0.1";
        public int Port = 5555;
        public Protocol Protocol = Protocol.Auto;
        public Limits Limits = new Limits { FrameBytes = 64 << 20 };
        public Axes Axes = Axes.Ours;
        public string Token = "", Name = "metabonk c#";
        public Capabilities Capabilities = Capabilities.All & ~Capabilities.Stepped;
    }

    /// <summary>What belongs to a state beside it.</summary>
    public struct TickInfo
    {
        public ulong Sequence;
        public int Version;
        public long CaptureNs, ReceivedNs;  // the game's clock, 0 in v1; ours
        public StateTrailers Trailers;
        public ulong FrameSequence;  // 0: no frame came since the tick before
        public long Skipped;         // states overtaken since the one handed out before
    }

    public sealed class AgentClient : IDisposable
    {
        readonly ClientOptions options;
        readonly TcpClient socket;
        readonly NetworkStream stream;
        readonly StreamDecoder decoder;
        readonly Thread reading;
        readonly object gate = new object(), sending = new object();
        readonly ByteWriter message = new ByteWriter(256), body = new ByteWriter(256);
        GameState reader = new GameState(), newest = new GameState();
        Frame readerFrame = new Frame(), newestFrame = new Frame();
        TickInfo info;
        bool fresh;
        ulong frameSequence, actions, controls;
        int captureWidth, captureHeight;
        bool asked, waits;  // HELLO was said; an action waits for its answer
        PlayerAction waiting;
        string ended;

        /// <summary>Connects; SocketException if nobody listens.</summary>
        public AgentClient(ClientOptions options)
        {
            this.options = options;
            decoder = new StreamDecoder(Sender.Game, options.Protocol, options.Limits);
            socket = new TcpClient(options.Host, options.Port) { NoDelay = true };
            stream = socket.GetStream();
            if (options.Protocol == Protocol.V2) SayHello();
            reading = new Thread(Read) { IsBackground = true, Name = "metabonk agent" };
            reading.Start();
        }

        /// <summary>The game's answer to HELLO, or null.</summary>
        public Hello Agreed { get; private set; }

        /// <summary>Why the connection ended, or null.</summary>
        public string Ended { get { lock (gate) return ended; } }

        /// <summary>Waits for a state that was not handed out yet; false after `milliseconds`, or
        /// if the connection ended. `frame` is filled if one came.</summary>
        public bool Wait(int milliseconds, GameState state, Frame frame, out TickInfo tick)
        {
            long until = Clock.Now + milliseconds * 1000000L;
            lock (gate)
            {
                while (!fresh && ended == null)
                {
                    long left = (until - Clock.Now) / 1000000L;
                    if (left <= 0 || !Monitor.Wait(gate, (int)left)) break;
                }
                tick = info;
                if (!fresh) return false;
                fresh = false;
                newest.CopyTo(state);
                if (info.FrameSequence != 0) newestFrame.CopyTo(frame);
                info.FrameSequence = 0;
                info.Skipped = 0;
                return true;
            }
        }

        /// <summary>Answers the state with number `answers`. Between HELLO and its answer nothing can
        /// be said: version 1 no longer, version 2 not yet. The newest action then waits.</summary>
        public void Send(PlayerAction action, ulong answers)
        {
            lock (sending)
            {
                if (asked && Agreed == null)
                {
                    waiting = waits ? ActionMailbox.WithPresses(action, waiting) : action;
                    waits = true;
                    return;
                }
                message.Clear();
                body.Clear();
                if (Agreed == null)
                {
                    ActionCodec.WriteVersion1(action, captureWidth, captureHeight, body);
                    message.I32(body.Count);
                }
                else
                {
                    ActionCodec.WriteVersion2(action, answers, body);
                    Wire.WriteHeader(message, MessageType.Action, body.Count, ++actions, Clock.Now);
                }
                message.Raw(body.Bytes, 0, body.Count);
                stream.Write(message.Bytes, 0, message.Count);
            }
        }

        public void SendReset(ResetRequest reset) { Say(MessageType.Reset, reset.Write); }

        void SayHello()
        {
            var hello = new Hello { Capabilities = options.Capabilities, Limits = options.Limits,
                Machine = Machine.Id, Token = options.Token, Name = options.Name };
            lock (sending)
            {
                asked = true;
                Say(MessageType.Hello, hello.Write);
            }
        }

        void Say(MessageType type, Action<ByteWriter> write)
        {
            lock (sending)
            {
                message.Clear();
                body.Clear();
                write(body);
                Wire.WriteHeader(message, type, body.Count, ++controls, Clock.Now);
                message.Raw(body.Bytes, 0, body.Count);
                stream.Write(message.Bytes, 0, message.Count);
            }
        }

        void Read()
        {
            string why = "the game closed the connection";
            try
            {
                while (true)
                {
                    decoder.Room();
                    int count = stream.Read(decoder.Buffer, decoder.Free,
                        decoder.Buffer.Length - decoder.Free);
                    if (count <= 0) break;
                    decoder.Commit(count);
                    Message received;
                    while (decoder.Next(out received))
                    {
                        if (received.Type == MessageType.Bye)
                        {
                            Bye bye = Bye.Read(received.Bytes, received.Offset, received.Count);
                            why = bye.Reason + ": " + bye.Text;
                        }
                        Handle(received);
                    }
                }
            }
            catch (Exception error) when (error is IOException || error is SocketException
                || error is ObjectDisposedException || error is ProtocolException)
            {
                why = error.Message;
            }
            lock (gate)
            {
                ended = why;
                Monitor.PulseAll(gate);
            }
        }

        void Handle(Message received)
        {
            long now = Clock.Now;
            switch (received.Type)
            {
                case MessageType.Frame:
                    if (received.Version == Wire.Version1)
                        FrameCodec.ReadVersion1(received.Bytes, received.Offset, received.Count,
                            readerFrame);
                    else FrameCodec.ReadVersion2(received.Bytes, received.Offset, received.Count,
                        readerFrame);
                    readerFrame.CaptureNs = received.TimeNs;
                    frameSequence = received.Sequence;
                    break;
                case MessageType.State:
                    TakeState(received, now);
                    break;
                case MessageType.HelloAck:
                    Hello answer = Hello.Read(received.Bytes, received.Offset, received.Count);
                    lock (sending)
                    {
                        Agreed = answer;
                        if (waits) Send(waiting, 0);  // it answers a state of before
                        waits = false;
                    }
                    break;
                case MessageType.Ping:
                    Say(MessageType.Pong, new Pong { PingSequence = received.Sequence,
                        PingNs = received.TimeNs, ReceivedNs = now }.Write);
                    break;
            }
        }

        void TakeState(Message received, long now)
        {
            StateTrailers trailers = StateCodec.Read(received.Bytes, received.Offset,
                received.Count, options.Axes, reader);
            if (trailers.Announcement.HasValue && options.Protocol == Protocol.Auto
                && Agreed == null)
                SayHello();
            lock (gate)
            {
                long skipped = fresh ? info.Skipped + 1 : 0;
                ulong frame = fresh ? info.FrameSequence : 0;
                if (frameSequence != 0)
                {
                    frame = frameSequence;
                    Frame other = newestFrame;
                    newestFrame = readerFrame;
                    readerFrame = other;
                    captureWidth = newestFrame.Width;
                    captureHeight = newestFrame.Height;
                    frameSequence = 0;
                }
                GameState before = newest;
                newest = reader;
                reader = before;
                info = new TickInfo
                {
                    Sequence = received.Sequence,
                    Version = received.Version,
                    CaptureNs = received.TimeNs,
                    ReceivedNs = now,
                    Trailers = trailers,
                    FrameSequence = frame,
                    Skipped = skipped,
                };
                fresh = true;
                Monitor.PulseAll(gate);
            }
        }

        public void Dispose()
        {
            socket.Close();
            reading.Join(1000);
        }
    }
}
