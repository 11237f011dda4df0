// LinkDriver: what BonkLink does in each frame of a game: the newest action in, the state and the
// pictures out. Runs on the game's main thread and never waits; knows no Unity.
using System;

namespace Metabonk.Core
{
    /// <summary>Decides in this process, instead of an agent at the other end of a link.</summary>
    public interface IPilot : IDisposable
    {
        /// <summary>frame: the newest picture that came back; empty if none has.</summary>
        PlayerAction Act(GameState state, Frame frame);

        /// <summary>A run begins anew.</summary>
        void Reset();
    }

    public sealed class LinkDriver : IDisposable
    {
        readonly IGame game;
        readonly ICapture capture;  // null: no pictures
        readonly GameServer server;
        readonly RingWriter ring;   // null: none
        readonly UploadGuard guard;
        readonly BonkLinkOptions options;
        readonly Action<string> log;
        readonly GameState state = new GameState();
        readonly Frame frame = new Frame();
        readonly IPilot pilot;      // null: agents play over the link
        readonly Faults faults;
        readonly LinkSummary summary = new LinkSummary();
        ulong step;
        long nextFrameNs;
        double lastTime;
        long framesTaken, capturesSkipped, resetsRefused;
        bool injecting, refusalSaid, playing;

        public LinkDriver(IGame game, ICapture capture, GameServer server, RingWriter ring,
            UploadGuard guard, IPilot pilot, BonkLinkOptions options, Action<string> log)
        {
            this.game = game;
            this.capture = capture;
            this.server = server;
            this.ring = ring;
            this.guard = guard;
            this.pilot = pilot;
            this.options = options;
            this.log = log ?? delegate { };
            faults = new Faults(this.log);
        }

        /// <summary>One frame of the game. seconds: its length. nowNs: Clock.Now.</summary>
        public void Tick(float seconds, long nowNs)
        {
            ++step;
            Summarise(nowNs);
            // The game changes under us with every version: what throws in one frame must cost no
            // more than that part of that frame.
            try
            {
                Restart();
                Act(seconds, nowNs);
            }
            catch (Exception error)
            {
                faults.Add("acting", error);
                StopInjecting();
            }
            try
            {
                Say(seconds, nowNs);
            }
            catch (Exception error)
            {
                faults.Add("reading the game", error);
            }
            try
            {
                Show(nowNs);
            }
            catch (Exception error)
            {
                faults.Add("capturing", error);
            }
        }

        // The link's own threads must not read what this one counts.
        void Summarise(long nowNs)
        {
            long connection = server.ConnectionNumber;
            if (!summary.Differs(connection)) return;
            string line = summary.Changed(connection, Tally(), nowNs);
            if (line != null) server.Log(line);
        }

        LinkTally Tally()
        {
            return new LinkTally { Link = server.Counts, Actions = server.Actions.Counts,
                Ring = ring != null ? ring.Counts : new RingCounts(), FramesTaken = framesTaken,
                CapturesSkipped = capturesSkipped, ResetsRefused = resetsRefused,
                CapturesFailed = capture != null ? capture.Failed : 0, Faults = faults.Total };
        }

        // An agent waits for the run that it asked for, so that it is said why none comes.
        void Restart()
        {
            ResetRequest reset;
            if (!server.TakeReset(out reset)) return;
            string refusal = options.Refusal(guard);
            if (refusal.Length == 0 && guard.MayInject()) refusal = game.Restart(reset);
            if (refusal.Length == 0) return;
            ++resetsRefused;
            if ((resetsRefused & (resetsRefused - 1)) == 0)
                log("RESET began no run, for the " + resetsRefused + ". time: " + refusal);
        }

        void StopInjecting()
        {
            if (!injecting) return;
            injecting = false;
            try
            {
                game.Release();
            }
            catch (Exception error)
            {
                faults.Add("letting go", error);
            }
        }

        void Act(float seconds, long nowNs)
        {
            ArrivedAction arrived;
            ActionSource source = server.Actions.Take(nowNs, out arrived);
            PlayerAction action = arrived.Action;
            if (pilot != null)
            {
                source = ActionSource.Fresh;
                action = pilot.Act(state, frame).Sane();
            }
            bool inject = options.InjectActions && source != ActionSource.None && MayInject();
            if (!inject)
            {
                StopInjecting();
                return;
            }
            injecting = true;
            game.Apply(action, seconds);
        }

        bool MayInject()
        {
            if (options.BlockUploads && guard.MayInject()) return true;
            if (!refusalSaid)
                log("no action is injected: " + (options.BlockUploads ? guard.Refusal
                    : "BlockUploads = false"));
            refusalSaid = true;
            return false;
        }

        void Say(float seconds, long nowNs)
        {
            state.Clear();
            game.Fill(state);
            state.Dt = state.Time >= lastTime ? (float)(state.Time - lastTime) : 0;
            lastTime = state.Time;
            if (pilot != null && state.Playing && !playing) pilot.Reset();
            playing = state.Playing;
            var trailers = new StateTrailers();
            if (options.EnableInputSnapshot) trailers.Input = game.Input(seconds);
            server.Publish(state, trailers, nowNs);
        }

        void Show(long nowNs)
        {
            if (capture == null) return;
            while (capture.TryTake(frame))
            {
                ++framesTaken;
                server.Publish(frame);
                if (ring != null) ring.Write(frame);
            }
            if (options.FrameHz <= 0 || nowNs < nextFrameNs) return;
            long period = (long)(1e9 / options.FrameHz);
            // From the plan, not from now, so that the rate holds; a game that is slower skips.
            nextFrameNs = nextFrameNs + period < nowNs ? nowNs + period : nextFrameNs + period;
            if (!capture.Request(step, nowNs)) ++capturesSkipped;
        }

        public void Dispose()
        {
            StopInjecting();
            server.Dispose();
            Summarise(Clock.Now);
            string total = LinkSummary.Total(Tally());
            if (total != null) server.Log(total);
            if (ring != null) ring.Dispose();
            if (pilot != null) pilot.Dispose();
        }
    }
}
