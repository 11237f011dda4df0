// StepDriver: steps a game by an agent's actions through ResearchMemory: the game's time advances
// by a fixed amount per frame, and stands still until the next action is there. Runs on the game's
// main thread, once per frame; knows no Unity.
using System;

namespace Metabonk.Core
{
    /// <summary>The game's time, as the driver sets it.</summary>
    public interface ITimeControl
    {
        /// <summary>The frames that follow last `seconds` of game time each, however long they
        /// take; 0: real time again.</summary>
        void FixFrame(float seconds);

        /// <summary>Whether the game's time stands still.</summary>
        void Hold(bool still);

        /// <summary>Seed of the game's random numbers.</summary>
        void Seed(int seed);
    }

    /// <summary>A picture of this very frame, waited for.</summary>
    public interface ISyncCapture
    {
        /// <summary>RGB from the bottom up. InvalidOperationException if there is
        /// none.</summary>
        void Take(Frame frame);
    }

    public sealed class StepDriver : IDisposable
    {
        readonly IGame game;
        readonly ISyncCapture capture;
        readonly ITimeControl time;
        readonly ResearchMemory memory;
        readonly ResearchOptions options;
        readonly UploadGuard guard;
        readonly Action<string> log;
        readonly RewardMeter meter;
        readonly Faults faults;
        readonly GameState state = new GameState();
        readonly Frame frame = new Frame();
        readonly float[] numbers = new float[ResearchMemory.ActionColumns];
        int framesLeft, step;
        bool waiting, restarting, refusalSaid;

        public StepDriver(IGame game, ISyncCapture capture, ITimeControl time,
            ResearchMemory memory, ResearchOptions options, UploadGuard guard, Action<string> log)
        {
            this.game = game;
            this.capture = capture;
            this.time = time;
            this.memory = memory;
            this.options = options;
            this.guard = guard;
            this.log = log ?? delegate { };
            meter = new RewardMeter(options.Weights);
            faults = new Faults(this.log);
            time.FixFrame(1 / options.Hz);
        }

        public int Step { get { return step; } }

        /// <summary>A frame of the game has ended.</summary>
        public void FrameEnded()
        {
            try
            {
                Advance();
            }
            catch (Exception error)
            {
                faults.Add("stepping", error);  // the next frame tries again
            }
        }

        void Advance()
        {
            if (!waiting && --framesLeft <= 0)
            {
                if (!Observe()) return;  // a restarted run is not there yet
                waiting = true;
                time.Hold(true);
            }
            if (waiting) Listen();
        }

        bool Observe()
        {
            state.Clear();
            game.Fill(state);
            if (restarting)
            {
                if (!state.Playing) return false;
                restarting = false;
                step = 0;
                meter.Reset();
            }
            // First: where there is no picture yet, the next frame measures the whole step.
            capture.Take(frame);
            bool done;
            float reward = meter.Measure(state, out done);
            memory.Publish(frame, reward, done, step, (int)Math.Round(state.Time * 1000));
            return true;
        }

        void Listen()
        {
            ResearchCommand command = memory.Take(options.HoldMs, numbers);
            if (command == ResearchCommand.None) return;
            if (!guard.MayInject())
            {
                if (!refusalSaid) log("no action is injected: " + guard.Refusal);
                refusalSaid = true;
                return;
            }
            waiting = false;
            time.Hold(false);
            framesLeft = options.FramesPerStep;
            if (command == ResearchCommand.Reset)
            {
                if (options.Seed != 0) time.Seed(options.Seed);
                game.Release();
                string refusal = game.Restart(new ResetRequest { Seed = (ulong)options.Seed,
                    HasSeed = options.Seed != 0 });
                // Whoever begins it: the next observation is of a run.
                if (refusal.Length > 0) log("RESET waits for a run: " + refusal);
                restarting = true;
                return;
            }
            ++step;
            bool menu = state.WidgetCount > 0;
            game.Apply(ResearchMemory.ActionOf(numbers, menu).Sane(),
                options.FramesPerStep / options.Hz);
        }

        public void Dispose()
        {
            game.Release();
            time.Hold(false);
            time.FixFrame(0);
            memory.Dispose();
        }
    }
}
