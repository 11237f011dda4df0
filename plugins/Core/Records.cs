// What a game says (GameState) and what an agent does (PlayerAction): the records of
// csrc/include/metabonk/records.h. Plain memory that is made once and filled again and again.
// Knows no game and no wire.
//
// World frame: metres and seconds, x east, y north, z up, yaw counter-clockwise from east in
// radians. Screen frame: 0..1 from the top left.
using System;

namespace Metabonk.Core
{
    public struct Point3
    {
        public float X, Y, Z;

        public Point3(float x, float y, float z)
        {
            X = x;
            Y = y;
            Z = z;
        }

        /// <summary>Unity's (x right, y up, z forward) in our frame, and back: the same
        /// exchange.</summary>
        public Point3 Swapped { get { return new Point3(X, Z, Y); } }
    }

    /// <summary>Which groups of fields a game fills; what it does not is zero and masked.</summary>
    [Flags]
    public enum FieldGroup : uint
    {
        None = 0,
        Player = 1 << 0,        // position, velocity, health, max health, time, playing, paused
        Yaw = 1 << 1,           // yaw, grounded
        Progress = 1 << 2,      // shield, xp, next xp, level, gold, kills, score
        Enemies = 1 << 3,       // id, position, health
        EnemyDetail = 1 << 4,   // kind, flags, velocity, max health
        Pickups = 1 << 5,
        Menu = 1 << 6,          // the menu's name
        Widgets = 1 << 7,
        Offers = 1 << 8,        // texts
        OfferDetail = 1 << 9,   // kind, rarity, item, level, changes
        Run = 1 << 10,          // seed, tier, character
        Loadout = 1 << 11,      // weapons, tomes
        Everything = (1 << 12) - 1,
        /// <summary>What BonkLink v1 carries.</summary>
        Version1 = Player | Enemies | Menu | Offers,
    }

    [Flags]
    public enum EnemyFlags : byte { None = 0, Boss = 1, Elite = 2, Projectile = 4 }

    public enum PickupKind : byte { Xp, Gold, Heal, Magnet, Chest, Shrine, Portal }

    public enum OfferKind : byte { Weapon, Tome, Item, Reward }

    public struct Enemy
    {
        public uint Id;  // stable while it lives, not used again within a run
        public byte Kind;
        public EnemyFlags Flags;
        public Point3 Position, Velocity;
        public float Health, MaxHealth;
    }

    public struct Pickup
    {
        public uint Id;
        public PickupKind Kind;
        public Point3 Position;
        public float Value;  // xp, gold or health it gives; a shrine's charge 0..1
    }

    /// <summary>Something on the screen that can be selected; choice i + 1 selects
    /// Widgets[i].</summary>
    public struct Widget
    {
        public float X0, Y0, X1, Y1;
        public bool Enabled;
        public byte Offer;  // 1 + index of the offer it selects, 0 for none
        public string Text;
    }

    public struct StatChange
    {
        public byte Stat;
        public bool Multiply;  // the stat is multiplied by 1 + Amount instead of raised by it
        public float Amount;
    }

    public struct Offer
    {
        public OfferKind Kind;
        public byte Rarity, Item, Level;  // 0 common .. 4 legendary; within its kind; it would reach
        public int ChangeCount;
        public StatChange Change0, Change1, Change2, Change3;
        public string Text;

        public StatChange Change(int index)
        {
            return index == 0 ? Change0 : index == 1 ? Change1 : index == 2 ? Change2 : Change3;
        }

        public void SetChange(int index, StatChange change)
        {
            if (index == 0) Change0 = change;
            else if (index == 1) Change1 = change;
            else if (index == 2) Change2 = change;
            else if (index == 3) Change3 = change;
            else throw new ArgumentOutOfRangeException("index", "an offer has at most 4 changes");
        }
    }

    public struct Slot
    {
        public byte Kind, Level;  // 1 + index, 0 for an empty slot
    }

    /// <summary>What a game says between two decisions.</summary>
    public sealed class GameState
    {
        public const int MaxEnemies = 256, MaxPickups = 128, MaxWidgets = 32, MaxOffers = 8;
        public const int MaxChanges = 4, Slots = 8, TextBytes = 48;

        public FieldGroup Fields;
        public float Dt;     // seconds of game time since the state before
        public double Time;  // seconds of game time since the run began
        public ulong RunSeed;
        public Point3 Position, Velocity;
        public float Yaw, Health, MaxHealth, Shield, Xp, XpNext, Gold, Score;
        public uint Kills;
        public ushort Level;
        public bool Grounded, Playing, Paused;
        public byte Tier, Character;  // 1..3; 1 + index; 0 unknown
        public string Menu = "None";  // "None" while playing
        public readonly Slot[] Weapons = new Slot[Slots], Tomes = new Slot[Slots];
        public int EnemyCount, PickupCount, WidgetCount, OfferCount;
        public readonly Enemy[] Enemies = new Enemy[MaxEnemies];
        public readonly Pickup[] Pickups = new Pickup[MaxPickups];
        public readonly Widget[] Widgets = new Widget[MaxWidgets];
        public readonly Offer[] Offers = new Offer[MaxOffers];

        public void Clear()
        {
            Fields = FieldGroup.None;
            Dt = 0;
            Time = 0;
            RunSeed = 0;
            Position = Velocity = new Point3();
            Yaw = Health = MaxHealth = Shield = Xp = XpNext = Gold = Score = 0;
            Kills = 0;
            Level = 0;
            Grounded = Playing = Paused = false;
            Tier = Character = 0;
            Menu = "None";
            Array.Clear(Weapons, 0, Slots);
            Array.Clear(Tomes, 0, Slots);
            EnemyCount = PickupCount = WidgetCount = OfferCount = 0;
        }

        /// <summary>Makes `to` equal to this; allocates nothing.</summary>
        public void CopyTo(GameState to)
        {
            to.Fields = Fields;
            to.Dt = Dt;
            to.Time = Time;
            to.RunSeed = RunSeed;
            to.Position = Position;
            to.Velocity = Velocity;
            to.Yaw = Yaw;
            to.Health = Health;
            to.MaxHealth = MaxHealth;
            to.Shield = Shield;
            to.Xp = Xp;
            to.XpNext = XpNext;
            to.Gold = Gold;
            to.Score = Score;
            to.Kills = Kills;
            to.Level = Level;
            to.Grounded = Grounded;
            to.Playing = Playing;
            to.Paused = Paused;
            to.Tier = Tier;
            to.Character = Character;
            to.Menu = Menu;
            Array.Copy(Weapons, to.Weapons, Slots);
            Array.Copy(Tomes, to.Tomes, Slots);
            Array.Copy(Enemies, to.Enemies, to.EnemyCount = EnemyCount);
            Array.Copy(Pickups, to.Pickups, to.PickupCount = PickupCount);
            Array.Copy(Widgets, to.Widgets, to.WidgetCount = WidgetCount);
            Array.Copy(Offers, to.Offers, to.OfferCount = OfferCount);
        }
    }

    /// <summary>What an agent does for one decision; 12 float32 on the wire, in this
    /// order.</summary>
    public struct PlayerAction
    {
        public const int Columns = 12;

        public float MoveX, MoveY;  // right and forward in the camera's frame, length at most 1
        public float LookX, LookY;  // turning rate, -1..1 of the fastest turn; y is up
        public float Jump, Slide, Interact, Fire, Ability;  // pressed at 0.5 and above
        public float Choice;        // 0 none, 1..32 the widgets
        public float ClickX, ClickY;  // 0..1 from the top left; negative: none

        /// <summary>Nothing is pressed.</summary>
        public static PlayerAction Idle
        {
            get { return new PlayerAction { ClickX = -1, ClickY = -1 }; }
        }

        public static bool Pressed(float button) { return button >= 0.5f; }

        public bool HasClick { get { return ClickX >= 0 && ClickY >= 0; } }

        /// <summary>Index of the chosen widget, or -1.</summary>
        public int ChosenWidget
        {
            get
            {
                if (!(Choice > 0)) return -1;  // also NaN
                return (int)(Math.Min(Choice, GameState.MaxWidgets) + 0.5f) - 1;
            }
        }

        /// <summary>Whether it does something that must not be repeated or lost: a press, not a
        /// hold.</summary>
        public bool Presses
        {
            get { return Pressed(Jump) || Pressed(Slide) || Pressed(Interact) || ChosenWidget >= 0
                || HasClick; }
        }

        /// <summary>The same with numbers that a game can use: no NaN, move within the unit
        /// disc.</summary>
        public PlayerAction Sane()
        {
            PlayerAction sane = this;
            sane.MoveX = Finite(MoveX);
            sane.MoveY = Finite(MoveY);
            float length = (float)Math.Sqrt(sane.MoveX * sane.MoveX + sane.MoveY * sane.MoveY);
            if (length > 1)
            {
                sane.MoveX /= length;
                sane.MoveY /= length;
            }
            sane.LookX = Math.Max(-1, Math.Min(1, Finite(LookX)));
            sane.LookY = Math.Max(-1, Math.Min(1, Finite(LookY)));
            if (!(ClickX >= 0 && ClickX <= 1 && ClickY >= 0 && ClickY <= 1))
                sane.ClickX = sane.ClickY = -1;
            return sane;
        }

        static float Finite(float value)
        {
            return float.IsNaN(value) || float.IsInfinity(value) ? 0 : value;
        }
    }
}
