// ResearchMemory: the game's end of ResearchPlugin's shared memory, version 1: one flag word that
// both sides write, reward, done, step and time, a picture, an action. Knows the file's layout and
// what can go wrong with it; no game.
//
// The flag has no sequence number: a RESET that the agent writes while the game overwrites the flag
// is lost. So the flag is read before and after the picture is written, and what stood there
// counts.
using System;
using System.IO;
using System.Threading;

namespace Metabonk.Core
{
    public enum ResearchCommand { None, Action, Reset }

    public sealed unsafe class ResearchMemory : IDisposable
    {
        const int Wait = 0, ActionReady = 1, ObservationReady = 2, Reset = 3, Terminated = 4;
        const int RewardAt = 8, DoneAt = 12, StepAt = 16, TimeAt = 20, WidthAt = 24, HeightAt = 28,
            PixelsAt = 32;
        public const int ActionColumns = 6, SideMax = 4096;

        /// <summary>In the word that version 1 does not use: reward and done are filled, no file
        /// lock is held ("MBR3"; "MBR2" says that one is).</summary>
        public const uint Marker = 'M' | 'B' << 8 | 'R' << 16 | (uint)'3' << 24;
        const uint LocksMarker = 'M' | 'B' << 8 | 'R' << 16 | (uint)'2' << 24;
        const int GameByte = 4;  // that such a game locks

        readonly string path;
        readonly int width, height;
        readonly SharedFile file;
        ResearchCommand pending;
        bool disposed;

        /// <summary>IOException if the file cannot be made, or a living game that shows itself by a
        /// lock has it.</summary>
        public ResearchMemory(string path, int width, int height)
        {
            if (width < 1 || height < 1 || width > SideMax || height > SideMax)
                throw new ArgumentOutOfRangeException("width", width + " x " + height
                    + ", sides are 1.." + SideMax);
            this.path = path;
            this.width = width;
            this.height = height;
            if (HasGame(path))
                throw new IOException(path
                    + ": another game has this file: close it, or set another Instance");
            UnfinishedFile.Clear(path);
            file = UnfinishedFile.Make(path, path, PixelsAt + PixelBytes + ActionColumns * 4, Fill,
                () => File.Delete(path));
        }

        void Fill(SharedFile made)
        {
            *(uint*)(made.Data + 4) = Marker;
            *(int*)(made.Data + WidthAt) = width;
            *(int*)(made.Data + HeightAt) = height;
        }

        // One without a lock cannot be told from a dead one, whose file is replaced.
        static bool HasGame(string path)
        {
            if (!File.Exists(path) || new FileInfo(path).Length < PixelsAt) return false;
            using (SharedFile there = SharedFile.Open(path, PixelsAt))
                return *(uint*)(there.Data + 4) == LocksMarker && there.Locked(GameByte) == true;
        }

        public string FilePath { get { return path; } }
        public int PixelBytes { get { return width * height * 3; } }
        public long Observations { get; private set; }
        public long Actions { get; private set; }
        public long Resets { get; private set; }

        /// <summary>Commands that came while an observation was written, which would have been
        /// lost.</summary>
        public long Rescued { get; private set; }

        ref int Flag { get { return ref *(int*)file.Data; } }

        void Poll()
        {
            int flag = Volatile.Read(ref Flag);
            if (flag != ActionReady && flag != Reset) return;
            if (Interlocked.CompareExchange(ref Flag, Wait, flag) != flag)
            {
                Poll();  // it changed just now
                return;
            }
            if (flag == Reset)
            {
                pending = ResearchCommand.Reset;
                ++Resets;
            }
            else
            {
                if (pending != ResearchCommand.Reset) pending = ResearchCommand.Action;
                ++Actions;
            }
        }

        /// <summary>Writes an observation: RGB, bottom row first, and what the step that led here
        /// was worth.</summary>
        public void Publish(Frame frame, float reward, bool done, int step, int timeMs)
        {
            if (frame.Format != PixelFormat.Rgb || frame.Width != width || frame.Height != height
                || frame.RowOrder != RowOrder.BottomUp || frame.Bytes != PixelBytes)
                throw new ArgumentException("RGB of " + width + " x " + height
                    + " from the bottom up is wanted", "frame");
            Poll();
            bool early = pending != ResearchCommand.None;
            Volatile.Write(ref Flag, Wait);
            byte* data = file.Data;
            *(float*)(data + RewardAt) = reward;
            *(int*)(data + DoneAt) = done ? 1 : 0;
            *(int*)(data + StepAt) = step;
            *(int*)(data + TimeAt) = timeMs;
            fixed (byte* pixels = frame.Pixels) Buffer.MemoryCopy(pixels, data + PixelsAt,
                PixelBytes, PixelBytes);
            Poll();
            if (!early && pending != ResearchCommand.None) ++Rescued;
            ++Observations;
            Thread.MemoryBarrier();
            // Not over a command that came in this very moment.
            if (Interlocked.CompareExchange(ref Flag, ObservationReady, Wait) != Wait) Poll();
            else return;
            Volatile.Write(ref Flag, ObservationReady);
        }

        /// <summary>What the agent asked for since; `action` [6] is filled.</summary>
        public ResearchCommand Take(int milliseconds, float[] action)
        {
            long until = Clock.Now + milliseconds * 1000000L;
            var spin = new SpinWait();
            while (true)
            {
                Poll();
                if (pending != ResearchCommand.None) break;
                if (Clock.Now >= until) return ResearchCommand.None;
                if (!spin.NextSpinWillYield) spin.SpinOnce();
                else Thread.Sleep(Clock.Now + 2000000 < until ? 1 : 0);
            }
            ResearchCommand command = pending;
            pending = ResearchCommand.None;
            var numbers = (float*)(file.Data + PixelsAt + PixelBytes);
            for (int i = 0; i < ActionColumns; ++i) action[i] = numbers[i];
            return command;
        }

        /// <summary>moveX, moveY and four buttons; in menus the buttons select the first four
        /// widgets.</summary>
        public static PlayerAction ActionOf(float[] numbers, bool menu)
        {
            PlayerAction action = PlayerAction.Idle;
            action.MoveX = numbers[0];
            action.MoveY = numbers[1];
            if (!menu)
            {
                action.Jump = numbers[2];
                action.Slide = numbers[3];
                action.Interact = numbers[4];
                action.Fire = numbers[5];
                return action;
            }
            for (int i = 3; i >= 0; --i)
                if (PlayerAction.Pressed(numbers[2 + i])) action.Choice = 1 + i;
            return action;
        }

        public void Dispose()
        {
            if (disposed) return;
            disposed = true;
            Volatile.Write(ref Flag, Terminated);
            file.Dispose();
            File.Delete(path);
        }
    }
}
