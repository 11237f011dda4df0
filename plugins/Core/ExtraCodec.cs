// The trailer MBX2, version 1 (docs/bonklink.md): everything of GameState that v1's part lacks.
// Lists have a count and a stride, so that later versions may append to rows.
using System;

namespace Metabonk.Core
{
    public static class ExtraCodec
    {
        public const int FixedBytes = 96, EnemyBytes = 24, PickupBytes = 24, WidgetBytes = 68,
            OfferBytes = 88;

        public static void Write(GameState state, ByteWriter to)
        {
            WriteFixed(state, to);
            WriteList(state.EnemyCount, EnemyBytes, to);
            for (int i = 0; i < state.EnemyCount; ++i)
            {
                to.U32(state.Enemies[i].Id);
                to.U8(state.Enemies[i].Kind);
                to.U8((byte)state.Enemies[i].Flags);
                to.U16(0);
                to.Point(state.Enemies[i].Velocity);
                to.F32(state.Enemies[i].MaxHealth);
            }
            WriteList(state.PickupCount, PickupBytes, to);
            for (int i = 0; i < state.PickupCount; ++i)
            {
                to.U32(state.Pickups[i].Id);
                to.U8((byte)state.Pickups[i].Kind);
                to.Zeros(3);
                to.Point(state.Pickups[i].Position);
                to.F32(state.Pickups[i].Value);
            }
            WriteList(state.WidgetCount, WidgetBytes, to);
            for (int i = 0; i < state.WidgetCount; ++i) WriteWidget(state.Widgets[i], to);
            WriteList(state.OfferCount, OfferBytes, to);
            for (int i = 0; i < state.OfferCount; ++i) WriteOffer(state.Offers[i], to);
        }

        static void WriteFixed(GameState state, ByteWriter to)
        {
            to.U32((uint)state.Fields);
            to.U16(FixedBytes);
            to.U16(0);
            to.U64(state.RunSeed);
            to.F64(state.Time);
            to.F32(state.Dt);
            to.F32(state.Yaw);
            to.F32(state.Shield);
            to.F32(state.Xp);
            to.F32(state.XpNext);
            to.F32(state.Gold);
            to.F32(state.Score);
            to.U32(state.Kills);
            to.U16(state.Level);
            to.U8(state.Grounded);
            to.U8(state.Tier);
            to.U8(state.Character);
            to.Zeros(3);
            WriteSlots(state.Weapons, to);
            WriteSlots(state.Tomes, to);
        }

        static void WriteSlots(Slot[] slots, ByteWriter to)
        {
            foreach (Slot slot in slots)
            {
                to.U8(slot.Kind);
                to.U8(slot.Level);
            }
        }

        static void WriteList(int count, int stride, ByteWriter to)
        {
            to.U16((ushort)count);
            to.U16((ushort)stride);
        }

        internal static void WriteWidget(Widget widget, ByteWriter to)
        {
            to.F32(widget.X0);
            to.F32(widget.Y0);
            to.F32(widget.X1);
            to.F32(widget.Y1);
            to.U8(widget.Enabled);
            to.U8(widget.Offer);
            to.U16(0);
            to.FixedText(widget.Text, GameState.TextBytes);
        }

        internal static void WriteOffer(Offer offer, ByteWriter to)
        {
            to.U8((byte)offer.Kind);
            to.U8(offer.Rarity);
            to.U8(offer.Item);
            to.U8(offer.Level);
            to.U8((byte)offer.ChangeCount);
            to.Zeros(3);
            for (int i = 0; i < GameState.MaxChanges; ++i)
            {
                StatChange change = i < offer.ChangeCount ? offer.Change(i) : new StatChange();
                to.U8(change.Stat);
                to.U8(change.Multiply);
                to.U16(0);
                to.F32(change.Amount);
            }
            to.FixedText(offer.Text, GameState.TextBytes);
        }

        /// <summary>Completes a state whose v1 part has been read.</summary>
        public static void Read(byte[] bytes, int offset, int count, GameState state)
        {
            var from = new ByteReader(bytes, offset, count);
            ReadFixed(ref from, state);
            ReadEnemies(bytes, ref from, state);
            int stride, rows = ReadList(ref from, PickupBytes, "pickups", out stride);
            state.PickupCount = Math.Min(rows, GameState.MaxPickups);
            for (int i = 0; i < rows; ++i)
            {
                var row = new ByteReader(bytes, from.Skip(stride, "pickups"), stride);
                if (i >= state.PickupCount) continue;
                var pickup = new Pickup { Id = row.U32("pickup.id"),
                    Kind = (PickupKind)row.U8("pickup.kind") };
                row.Skip(3, "pickup");
                pickup.Position = row.Point("pickup.position");
                pickup.Value = row.F32("pickup.value");
                state.Pickups[i] = pickup;
            }
            rows = ReadList(ref from, WidgetBytes, "widgets", out stride);
            state.WidgetCount = Math.Min(rows, GameState.MaxWidgets);
            for (int i = 0; i < rows; ++i)
            {
                var row = new ByteReader(bytes, from.Skip(stride, "widgets"), stride);
                if (i < state.WidgetCount) state.Widgets[i] = ReadWidget(row);
            }
            rows = ReadList(ref from, OfferBytes, "offers", out stride);
            state.OfferCount = Math.Min(rows, GameState.MaxOffers);
            for (int i = 0; i < rows; ++i)
            {
                var row = new ByteReader(bytes, from.Skip(stride, "offers"), stride);
                if (i < state.OfferCount) state.Offers[i] = ReadOffer(row);
            }
        }

        static void ReadFixed(ref ByteReader from, GameState state)
        {
            int begin = from.At;
            state.Fields = (FieldGroup)from.U32("MBX2.fields") & FieldGroup.Everything;
            int size = from.U16("MBX2.size");
            if (size < FixedBytes)
                throw new ProtocolException("MBX2.size: " + size + ", at least " + FixedBytes
                    + " are needed");
            from.Skip(2, "MBX2");
            state.RunSeed = from.U64("MBX2.runSeed");
            state.Time = from.F64("MBX2.time");
            state.Dt = from.F32("MBX2.dt");
            state.Yaw = from.F32("MBX2.yaw");
            state.Shield = from.F32("MBX2.shield");
            state.Xp = from.F32("MBX2.xp");
            state.XpNext = from.F32("MBX2.xpNext");
            state.Gold = from.F32("MBX2.gold");
            state.Score = from.F32("MBX2.score");
            state.Kills = from.U32("MBX2.kills");
            state.Level = from.U16("MBX2.level");
            state.Grounded = from.U8("MBX2.grounded") != 0;
            state.Tier = from.U8("MBX2.tier");
            state.Character = from.U8("MBX2.character");
            from.Skip(3, "MBX2");
            ReadSlots(ref from, state.Weapons);
            ReadSlots(ref from, state.Tomes);
            from.Skip(size - (from.At - begin), "MBX2");
        }

        static void ReadSlots(ref ByteReader from, Slot[] slots)
        {
            for (int i = 0; i < slots.Length; ++i)
            {
                slots[i].Kind = from.U8("MBX2.slot");
                slots[i].Level = from.U8("MBX2.slot");
            }
        }

        static int ReadList(ref ByteReader from, int least, string name, out int stride)
        {
            int rows = from.U16(name);
            stride = from.U16(name);
            if (stride < least)
                throw new ProtocolException(name + ".stride: " + stride + ", at least " + least
                    + " are needed");
            if ((long)rows * stride > from.Left)
                throw new ProtocolException(name + ": " + rows + " rows of " + stride
                    + " bytes do not fit in " + from.Left);
            return rows;
        }

        static void ReadEnemies(byte[] bytes, ref ByteReader from, GameState state)
        {
            int stride, rows = ReadList(ref from, EnemyBytes, "enemies", out stride);
            if (Math.Min(rows, GameState.MaxEnemies) != state.EnemyCount)
                throw new ProtocolException("enemies: MBX2 has " + rows + ", the state before it "
                    + state.EnemyCount);
            for (int i = 0; i < rows; ++i)
            {
                var row = new ByteReader(bytes, from.Skip(stride, "enemies"), stride);
                if (i >= state.EnemyCount) continue;
                state.Enemies[i].Id = row.U32("enemy.id");
                state.Enemies[i].Kind = row.U8("enemy.kind");
                state.Enemies[i].Flags = (EnemyFlags)row.U8("enemy.flags");
                row.Skip(2, "enemy");
                state.Enemies[i].Velocity = row.Point("enemy.velocity");
                state.Enemies[i].MaxHealth = row.F32("enemy.maxHealth");
            }
        }

        static Widget ReadWidget(ByteReader row)
        {
            var widget = new Widget { X0 = row.F32("widget"), Y0 = row.F32("widget") };
            widget.X1 = row.F32("widget");
            widget.Y1 = row.F32("widget");
            widget.Enabled = row.U8("widget") != 0;
            widget.Offer = row.U8("widget");
            if (widget.Offer > GameState.MaxOffers)
                throw new ProtocolException("widget.offer: " + widget.Offer + ", 0.."
                    + GameState.MaxOffers + " is known");
            row.Skip(2, "widget");
            widget.Text = row.FixedText(GameState.TextBytes, "widget.text");
            return widget;
        }

        static Offer ReadOffer(ByteReader row)
        {
            var offer = new Offer { Kind = (OfferKind)row.U8("offer.kind"),
                Rarity = row.U8("offer.rarity") };
            offer.Item = row.U8("offer.item");
            offer.Level = row.U8("offer.level");
            offer.ChangeCount = row.U8("offer.changes");
            if (offer.ChangeCount > GameState.MaxChanges)
                throw new ProtocolException("offer.changes: " + offer.ChangeCount + ", at most "
                    + GameState.MaxChanges);
            row.Skip(3, "offer");
            for (int i = 0; i < GameState.MaxChanges; ++i)
            {
                var change = new StatChange { Stat = row.U8("change"),
                    Multiply = row.U8("change") != 0 };
                row.Skip(2, "change");
                change.Amount = row.F32("change");
                if (i < offer.ChangeCount) offer.SetChange(i, change);
            }
            offer.Text = row.FixedText(GameState.TextBytes, "offer.text");
            return offer;
        }
    }
}
