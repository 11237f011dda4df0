// States on the wire: v1's layout and the trailers after it. Pure functions over memory; MBX2's
// payload is in ExtraCodec.
using System;

namespace Metabonk.Core
{
    /// <summary>What the person at the game is doing (HINP). Look: a turning rate, as an action's.
    /// UiClick: a press in a menu whose place is known and goes on; Click is where it began, 0..1
    /// from the top left.</summary>
    public struct InputSnapshot
    {
        public float MoveX, MoveY, LookX, LookY;
        public bool Fire, Ability, Interact, UiClick;
        public float ClickX, ClickY;
    }

    /// <summary>A game's word that it also speaks v2, in the first v1 state of a connection
    /// (BNK2).</summary>
    public struct Announcement
    {
        public ushort LowestVersion, HighestVersion;
        public Capabilities Capabilities;
    }

    /// <summary>What an environment says beside the state (STEP); carried by v2, and by the v1 state
    /// that announces it.</summary>
    public struct StepResult
    {
        public float Reward;
        public bool IsFirst, Terminated, Truncated;
        // Of the newest ACTION that went into this state, whichever connection it came by; 0: none.
        public ulong ActionSequence;
        public uint Episode;          // counts from 1
        public double? Returned;      // sum of the episode's rewards up to this state
    }

    public struct StateTrailers
    {
        public InputSnapshot? Input;
        public Announcement? Announcement;
        public StepResult? Step;
        public bool Extra;  // MBX2
    }

    public static class StateCodec
    {
        const int MenuBytes = GameState.TextBytes - 1, MaxOptionsRead = 1 << 16, MaxEnemiesRead =
            1 << 20;

        public static void Write(GameState state, StateTrailers trailers, Axes axes, ByteWriter to)
        {
            WriteVersion1(state, trailers.Extra ? Axes.Ours : axes, to);  // MBX2 says that they are ours
            if (trailers.Input.HasValue) WriteInput(trailers.Input.Value, to);
            if (trailers.Announcement.HasValue)
            {
                int length = BeginTrailer(Wire.TagAnnounce, to);
                to.U16(trailers.Announcement.Value.LowestVersion);
                to.U16(trailers.Announcement.Value.HighestVersion);
                to.U32((uint)trailers.Announcement.Value.Capabilities);
                EndTrailer(length, to);
            }
            if (trailers.Step.HasValue)
            {
                int length = BeginTrailer(Wire.TagStep, to);
                WriteStep(trailers.Step.Value, to);
                EndTrailer(length, to);
            }
            if (trailers.Extra)
            {
                int length = BeginTrailer(Wire.TagExtra, to);
                ExtraCodec.Write(state, to);
                EndTrailer(length, to);
            }
        }

        static void WriteVersion1(GameState state, Axes axes, ByteWriter to)
        {
            bool unity = axes == Axes.Unity;
            to.Point(unity ? state.Position.Swapped : state.Position);
            to.Point(unity ? state.Velocity.Swapped : state.Velocity);
            to.F32(state.Health);
            to.F32(state.MaxHealth);
            to.F32((float)state.Time);
            to.U8(state.Playing);
            to.U8(state.Paused);
            to.I32(state.EnemyCount);
            for (int i = 0; i < state.EnemyCount; ++i)
            {
                Point3 at = state.Enemies[i].Position;
                to.Point(unity ? at.Swapped : at);
                to.F32(state.Enemies[i].Health);
            }
            to.String(state.Menu, MenuBytes);
            to.I32(state.OfferCount);
            for (int i = 0; i < state.OfferCount; ++i) to.String(state.Offers[i].Text, MenuBytes);
        }

        static void WriteInput(InputSnapshot input, ByteWriter to)
        {
            to.U32(Wire.TagInput);
            to.I32(1);
            to.F32(input.MoveX);
            to.F32(input.MoveY);
            to.F32(input.LookX);
            to.F32(input.LookY);
            to.U8(input.Fire);
            to.U8(input.Ability);
            to.U8(input.Interact);
            to.U8(input.UiClick);
            to.F32(input.ClickX);
            to.F32(input.ClickY);
        }

        static void WriteStep(StepResult step, ByteWriter to)
        {
            to.F32(step.Reward);
            to.U8(step.IsFirst);
            to.U8(step.Terminated);
            to.U8(step.Truncated);
            to.U8(0);
            to.U64(step.ActionSequence);
            to.U32(step.Episode);
            if (step.Returned.HasValue) to.F64(step.Returned.Value);
        }

        static int BeginTrailer(uint tag, ByteWriter to)
        {
            to.U32(tag);
            to.I32(1);
            return to.Skip(4);
        }

        static void EndTrailer(int length, ByteWriter to) { to.PatchI32(length,
            to.Count - length - 4); }

        /// <summary> Reads a state. Lists longer than ours are cut, unknown trailers and what
        /// follows them are passed over. Without MBX2 `Fields` is v1's, enemies have no ids.
        /// ProtocolException, naming the field, for what cannot be read; `state` is then
        /// unspecified. </summary>
        public static StateTrailers Read(byte[] bytes, int offset, int count, Axes axes,
            GameState state)
        {
            var from = new ByteReader(bytes, offset, count);
            state.Clear();
            ReadVersion1(ref from, axes, state);
            StateTrailers trailers = ReadTrailers(bytes, ref from, state);
            if ((state.Fields & FieldGroup.Menu) != 0 && state.Menu.Length == 0)
                state.Menu = "None";
            // v1's axes are a guess; MBX2 says that they are ours.
            if (axes == Axes.Unity && !trailers.Extra) SwapAxes(state);
            return trailers;
        }

        static void ReadVersion1(ref ByteReader from, Axes axes, GameState state)
        {
            state.Fields = FieldGroup.Version1;
            state.Position = from.Point("playerPosition");
            state.Velocity = from.Point("playerVelocity");
            state.Health = from.F32("playerHealth");
            state.MaxHealth = from.F32("playerMaxHealth");
            state.Time = from.F32("gameTime");
            state.Playing = from.U8("isPlaying") != 0;
            state.Paused = from.U8("isPaused") != 0;
            int enemies = from.I32("enemies");
            if (enemies < 0 || enemies > MaxEnemiesRead || enemies > from.Left / 16)
                throw new ProtocolException("enemies: " + enemies + " of 16 bytes do not fit in "
                    + from.Left);
            for (int i = 0; i < enemies; ++i)
            {
                var enemy = new Enemy { Position = from.Point("enemy.position"),
                    Health = from.F32("enemy.health") };
                if (i < GameState.MaxEnemies) state.Enemies[state.EnemyCount++] = enemy;
            }
            state.Menu = Texts.Kept(from.String("currentMenu"), MenuBytes);
            int options = from.I32("levelUpOptions");
            if (options < 0 || options > MaxOptionsRead || options > from.Left)
                throw new ProtocolException("levelUpOptions: " + options + " do not fit in "
                    + from.Left + " bytes");
            for (int i = 0; i < options; ++i)
            {
                string text = Texts.Kept(from.String("levelUpOptions"), MenuBytes);
                if (i < GameState.MaxOffers)
                    state.Offers[state.OfferCount++] = new Offer { Text = text };
            }
        }

        static void SwapAxes(GameState state)
        {
            state.Position = state.Position.Swapped;
            state.Velocity = state.Velocity.Swapped;
            for (int i = 0; i < state.EnemyCount; ++i)
                state.Enemies[i].Position = state.Enemies[i].Position.Swapped;
        }

        static StateTrailers ReadTrailers(byte[] bytes, ref ByteReader from, GameState state)
        {
            var trailers = new StateTrailers();
            bool first = true;
            while (from.Left >= 12)
            {
                uint tag = from.U32("tag");
                int version = from.I32("trailer.version");
                if (tag == Wire.TagInput && first)
                {
                    if (version != 1 || from.Left < 28) break;
                    trailers.Input = ReadInput(ref from);
                }
                else
                {
                    int length = from.I32("trailer.length");
                    bool ours = version >= 1 && (tag == Wire.TagAnnounce || tag == Wire.TagStep
                        || tag == Wire.TagExtra);
                    if (length < 0 || length > from.Left)
                    {
                        if (ours)
                            throw new ProtocolException("trailer.length: " + length + " bytes, "
                                + from.Left + " are left");
                        break;
                    }
                    int begin = from.Skip(length, "trailer");
                    if (ours)
                        ReadTrailer(tag, new ByteReader(bytes, begin, length), bytes, state,
                            ref trailers);
                }
                first = false;
            }
            return trailers;
        }

        static void ReadTrailer(uint tag, ByteReader from, byte[] bytes, GameState state,
            ref StateTrailers trailers)
        {
            if (tag == Wire.TagAnnounce)
            {
                trailers.Announcement = new Announcement
                {
                    LowestVersion = from.U16("BNK2.lowest"),
                    HighestVersion = from.U16("BNK2.highest"),
                    Capabilities = (Capabilities)from.U32("BNK2.capabilities"),
                };
            }
            else if (tag == Wire.TagStep)
            {
                var step = new StepResult { Reward = from.F32("STEP.reward") };
                step.IsFirst = from.U8("STEP.isFirst") != 0;
                step.Terminated = from.U8("STEP.terminated") != 0;
                step.Truncated = from.U8("STEP.truncated") != 0;
                from.Skip(1, "STEP");
                step.ActionSequence = from.U64("STEP.action");
                step.Episode = from.U32("STEP.episode");
                if (from.Left >= 8) step.Returned = from.F64("STEP.returned");
                trailers.Step = step;
            }
            else if (tag == Wire.TagExtra)
            {
                ExtraCodec.Read(bytes, from.At, from.Left, state);
                trailers.Extra = true;
            }
        }

        static InputSnapshot ReadInput(ref ByteReader from)
        {
            var input = new InputSnapshot { MoveX = from.F32("HINP"), MoveY = from.F32("HINP") };
            input.LookX = from.F32("HINP");
            input.LookY = from.F32("HINP");
            input.Fire = from.U8("HINP") != 0;
            input.Ability = from.U8("HINP") != 0;
            input.Interact = from.U8("HINP") != 0;
            input.UiClick = from.U8("HINP") != 0;
            input.ClickX = from.F32("HINP");
            input.ClickY = from.F32("HINP");
            return input;
        }
    }
}
