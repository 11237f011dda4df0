// Connection: one agent at the other end of a stream. One thread reads it, one writes to it; what
// is written next is the newest state and the newest frame (TickWriter has their bytes), control
// messages first. Everything that both and the main thread touch is under the server's lock.
using System;
using System.Collections.Generic;
using System.IO;
using System.Net.Sockets;
using System.Threading;

namespace Metabonk.Core
{
    sealed class Connection
    {
        const int JoinMs = 1000;
        const int ControlMax = 64 << 10;  // bytes of control messages that wait

        readonly GameServer server;
        readonly Stream stream;
        readonly Socket socket;
        readonly StreamDecoder decoder;
        // No Queue: mono's compiler binds it to an assembly where .NET has none.
        readonly List<byte[]> control = new List<byte[]>();
        int controlBytes;
        readonly Thread reading, writing;

        // What the main thread hands over, and what the writing thread took.
        GameState pending = new GameState(), taken = new GameState();
        StateTrailers pendingTrailers, takenTrailers;
        long pendingNs, takenNs;
        bool fresh, freshFrame;
        Frame pendingFrame = new Frame(), takenFrame = new Frame();

        readonly TickWriter ticks;
        Hello agreed;  // null in v1
        ulong states, controls;
        bool ending, closed;

        public Connection(GameServer server, Stream stream, Socket socket)
        {
            this.server = server;
            this.stream = stream;
            this.socket = socket;
            ticks = new TickWriter(server.Options, server.Log);
            decoder = new StreamDecoder(Sender.Agent, server.Options.Protocol,
                server.Options.Limits);
            Admitted = !server.Options.OwesHello;
            if (socket != null) socket.SendTimeout = server.Options.IdleMs;
            reading = new Thread(Read) { IsBackground = true, Name = "metabonk read" };
            writing = new Thread(Write) { IsBackground = true, Name = "metabonk write" };
        }

        /// <summary>Whether it said the token, or needs none.</summary>
        public bool Admitted { get; private set; }
        public int Version { get { return agreed != null ? Wire.Version2
            : server.Options.Protocol == Protocol.V2 ? 0 : Wire.Version1; } }
        public bool UsesRing { get { return agreed != null
            && (agreed.Capabilities & Capabilities.Ring) != 0; } }

        public void Start()
        {
            reading.Start();
            writing.Start();
        }

        // Under Gate.
        public void Publish(GameState state, StateTrailers trailers, long captureNs)
        {
            if (fresh) ++server.counts.StatesOvertaken;
            state.CopyTo(pending);
            pendingTrailers = trailers;
            pendingNs = captureNs;
            fresh = true;
            Monitor.PulseAll(server.Gate);
        }

        // Under Gate.
        public void Publish(Frame frame)
        {
            if (freshFrame) ++server.counts.FramesOvertaken;
            frame.CopyTo(pendingFrame);
            freshFrame = true;
            Monitor.PulseAll(server.Gate);
        }

        /// <summary>Says BYE where the agent understands it, then ends. Under Gate.</summary>
        public void End(ByeReason reason, string text)
        {
            if (ending) return;
            if (agreed != null || decoder.Version == Wire.Version2)
            {
                var bye = new ByteWriter(64);
                new Bye { Reason = reason, Text = text }.Write(bye);
                Say(MessageType.Bye, bye);
            }
            ending = true;
            Monitor.PulseAll(server.Gate);
        }

        void Say(MessageType type, ByteWriter body)
        {
            if (ending) return;
            if (controlBytes > ControlMax)
            {
                // Memory must not grow with them.
                ++server.counts.ProtocolErrors;
                server.Log("agent dropped: it asks faster than it reads the answers");
                Close();
                return;
            }
            var whole = new ByteWriter(Wire.HeaderBytes + body.Count);
            Wire.WriteHeader(whole, type, body.Count, ++controls, Clock.Now);
            whole.Raw(body.Bytes, 0, body.Count);
            var bytes = new byte[whole.Count];
            Buffer.BlockCopy(whole.Bytes, 0, bytes, 0, bytes.Length);
            control.Add(bytes);
            controlBytes += bytes.Length;
            Monitor.PulseAll(server.Gate);
        }

        void Read()
        {
            try
            {
                long began = Clock.Now, patience = server.Options.HandshakeMs * 1000000L;
                if (server.Options.OwesHello) SetReadTimeout(server.Options.HandshakeMs);
                while (true)
                {
                    decoder.Room();
                    int count = stream.Read(decoder.Buffer, decoder.Free,
                        decoder.Buffer.Length - decoder.Free);
                    if (count <= 0) break;
                    decoder.Commit(count);
                    Message received;
                    while (decoder.Next(out received)) Handle(received, Clock.Now);
                    if (agreed != null) SetReadTimeout(server.Options.IdleMs);
                    // Byte by byte no read takes long.
                    else if (server.Options.OwesHello && Clock.Now - began > patience) break;
                }
            }
            catch (ProtocolException error)
            {
                lock (server.Gate)
                {
                    ++server.counts.ProtocolErrors;
                    End(ByeReason.Protocol, error.Message);
                }
                server.Log("agent dropped: " + error.Message);
            }
            catch (Exception error) when (error is IOException || error is SocketException
                || error is ObjectDisposedException)
            {
                // The stream broke, was closed, or was silent for too long: the end of it either
                // way.
                lock (server.Gate) End(ByeReason.Idle, "nothing was heard for too long");
            }
            finally
            {
                lock (server.Gate)
                {
                    ending = true;
                    Monitor.PulseAll(server.Gate);
                }
            }
        }

        void SetReadTimeout(int milliseconds)
        {
            if (socket != null) socket.ReceiveTimeout = milliseconds;  // pipes have none
        }

        void Handle(Message received, long now)
        {
            lock (server.Gate)
            {
                if (ending) return;
                bool hello = received.Type == MessageType.Hello;
                if (!Admitted && !hello)
                {
                    bool token = server.Options.Token.Length > 0;
                    End(token ? ByeReason.Token : ByeReason.Protocol,
                        "this game wants HELLO first" + (token ? ", with a token" : ""));
                    return;
                }
                if (received.Type == MessageType.Hello)
                    Greet(Hello.Read(received.Bytes, received.Offset, received.Count));
                else if (received.Type == MessageType.Action) TakeAction(received, now);
                else if (received.Type == MessageType.Ping) Answer(received, now);
                else if (received.Type == MessageType.Bye) ending = true;
                else if (received.Type == MessageType.Reset && agreed != null
                    && (agreed.Capabilities & Capabilities.Resets) != 0)
                    server.Ask(ResetRequest.Read(received.Bytes, received.Offset, received.Count));
            }
        }

        void Greet(Hello asked)
        {
            ServerOptions options = server.Options;
            if (options.Token.Length > 0 && !Hello.SameToken(options.Token, asked.Token))
            {
                End(ByeReason.Token, "wrong token");
                return;
            }
            Hello answer = Hello.Negotiate(Offered(), asked);
            if (answer == null)
            {
                End(ByeReason.Version, "this game speaks version " + Wire.Version2);
                return;
            }
            Admitted = true;
            server.Admit(this);
            agreed = answer;
            var body = new ByteWriter(128);
            answer.Write(body);
            Say(MessageType.HelloAck, body);
        }

        Hello Offered()
        {
            ServerOptions options = server.Options;
            var offered = new Hello
            {
                Capabilities = options.Offered,
                Limits = options.Limits.Clone(),
                Width = (ushort)options.Width,
                Height = (ushort)options.Height,
                Rate = (ushort)options.Rate,
                Machine = Machine.Id,
                Ring = options.Ring,
                Name = options.Name,
            };
            return offered;
        }

        // What answers a state that was not sent here answers one of a connection before. Under Gate.
        void TakeAction(Message received, long now)
        {
            var arrived = new ArrivedAction { Sequence = received.Sequence,
                MadeNs = received.TimeNs, ReceivedNs = now };
            arrived.Action = received.Version == Wire.Version1
                ? ActionCodec.ReadVersion1(received.Bytes, received.Offset, received.Count,
                    server.Options.Width, server.Options.Height)
                : ActionCodec.ReadVersion2(received.Bytes, received.Offset, received.Count,
                    out arrived.Answers);
            if (arrived.Answers > states)
            {
                ++server.counts.ActionsSkipped;
                return;
            }
            ++server.counts.Actions;
            server.Actions.Put(arrived);
        }

        void Answer(Message ping, long now)
        {
            var body = new ByteWriter(32);
            new Pong { PingSequence = ping.Sequence, PingNs = ping.TimeNs,
                ReceivedNs = now }.Write(body);
            Say(MessageType.Pong, body);
        }

        void Write()
        {
            try
            {
                while (true)
                {
                    byte[] said = null;
                    bool state = false, frame = false, last = false;
                    Hello hello;
                    lock (server.Gate)
                    {
                        while (control.Count == 0 && !ending
                            && !(fresh && Admitted && Version != 0))
                            Monitor.Wait(server.Gate);
                        if (control.Count > 0)
                        {
                            said = control[0];
                            control.RemoveAt(0);
                            controlBytes -= said.Length;
                        }
                        else if (ending) last = true;
                        else Take(out state, out frame);
                        hello = agreed;
                    }
                    if (last) break;
                    if (said != null) stream.Write(said, 0, said.Length);
                    else SendTick(hello, frame);
                }
            }
            catch (Exception error) when (error is IOException || error is SocketException
                || error is ObjectDisposedException)
            {
                // The agent is gone; reading ends too.
            }
            finally
            {
                Close();
                server.Gone(this, !Admitted);
            }
        }

        // The newest state and frame change places with those sent before. Under Gate.
        void Take(out bool state, out bool frame)
        {
            ++states;
            GameState other = taken;
            taken = pending;
            pending = other;
            takenTrailers = pendingTrailers;
            takenNs = pendingNs;
            fresh = false;
            state = true;
            frame = freshFrame;
            if (!frame) return;
            Frame otherFrame = takenFrame;
            takenFrame = pendingFrame;
            pendingFrame = otherFrame;
            freshFrame = false;
        }

        void SendTick(Hello hello, bool frame)
        {
            bool pictured = ticks.Write(hello, states, taken, takenTrailers, takenNs,
                frame ? takenFrame : null);
            stream.Write(ticks.Bytes, 0, ticks.Count);
            lock (server.Gate)
            {
                ++server.counts.StatesSent;
                if (pictured) ++server.counts.FramesSent;
                if (ticks.TooLarge) ++server.counts.FramesTooLarge;
            }
        }

        public void Close()
        {
            lock (server.Gate)
            {
                if (closed) return;
                closed = ending = true;
                Monitor.PulseAll(server.Gate);
            }
            try
            {
                // What was written before, BYE included, still arrives; a thread that reads wakes
                // up.
                if (socket != null && socket.Connected) socket.Shutdown(SocketShutdown.Both);
            }
            catch (SocketException)
            {
                // It was broken already.
            }
            stream.Dispose();
        }

        public void Join()
        {
            if (writing.IsAlive && Thread.CurrentThread != writing) writing.Join(JoinMs);
            Close();
        }
    }
}
