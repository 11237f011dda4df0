// PackedState: GameState as the C++ side has it in memory (csrc/include/metabonk/records.h), to
// hand it to native code in this process. Knows that layout.
namespace Metabonk.Core
{
    public static class PackedState
    {
        public const int Bytes = 16376;

        const int EntityBytes = 40, PickupBytes = 24;

        /// <summary>Writes all of it; `to` is cleared first.</summary>
        public static void Write(GameState state, ByteWriter to)
        {
            to.Clear();
            WriteNumbers(state, to);
            WriteSlots(state.Weapons, to);
            WriteSlots(state.Tomes, to);
            to.FixedText(state.Menu, GameState.TextBytes);
            for (int i = 0; i < state.EnemyCount; ++i) WriteEnemy(state.Enemies[i], to);
            to.Zeros((GameState.MaxEnemies - state.EnemyCount) * EntityBytes);
            for (int i = 0; i < state.PickupCount; ++i) WritePickup(state.Pickups[i], to);
            to.Zeros((GameState.MaxPickups - state.PickupCount) * PickupBytes);
            for (int i = 0; i < state.WidgetCount; ++i)
                ExtraCodec.WriteWidget(state.Widgets[i], to);
            to.Zeros((GameState.MaxWidgets - state.WidgetCount) * ExtraCodec.WidgetBytes);
            for (int i = 0; i < state.OfferCount; ++i) ExtraCodec.WriteOffer(state.Offers[i], to);
            to.Zeros((GameState.MaxOffers - state.OfferCount) * ExtraCodec.OfferBytes);
            to.Zeros(Bytes - to.Count);
        }

        static void WriteNumbers(GameState state, ByteWriter to)
        {
            to.U32((uint)state.Fields);
            to.F32(state.Dt);
            to.F64(state.Time);
            to.U64(state.RunSeed);
            to.Point(state.Position);
            to.Point(state.Velocity);
            to.F32(state.Yaw);
            to.F32(state.Health);
            to.F32(state.MaxHealth);
            to.F32(state.Shield);
            to.F32(state.Xp);
            to.F32(state.XpNext);
            to.F32(state.Gold);
            to.F32(state.Score);
            to.U32(state.Kills);
            to.U16(state.Level);
            to.U8(state.Grounded);
            to.U8(state.Playing);
            to.U8(state.Paused);
            to.U8(state.Tier);
            to.U8(state.Character);
            to.U8(0);
            to.U16((ushort)state.EnemyCount);
            to.U16((ushort)state.PickupCount);
            to.U16((ushort)state.WidgetCount);
            to.U16((ushort)state.OfferCount);
        }

        static void WriteSlots(Slot[] slots, ByteWriter to)
        {
            foreach (Slot slot in slots)
            {
                to.U8(slot.Kind);
                to.U8(slot.Level);
            }
        }

        static void WriteEnemy(Enemy enemy, ByteWriter to)
        {
            to.U32(enemy.Id);
            to.U8(enemy.Kind);
            to.U8((byte)enemy.Flags);
            to.U16(0);
            to.Point(enemy.Position);
            to.Point(enemy.Velocity);
            to.F32(enemy.Health);
            to.F32(enemy.MaxHealth);
        }

        static void WritePickup(Pickup pickup, ByteWriter to)
        {
            to.U32(pickup.Id);
            to.U8((byte)pickup.Kind);
            to.Zeros(3);
            to.Point(pickup.Position);
            to.F32(pickup.Value);
        }
    }
}
