// MenuItems: what an open menu lets one select, in reading order: its buttons and what they offer.
// Unity finds buttons in no order that means anything. Knows no window of the game.
using System;
using System.Collections.Generic;
using Metabonk.Core;
using Button = UnityEngine.UI.Button;

namespace Metabonk.Game
{
    public sealed class MenuItems
    {
        const float RowHeight = 0.02f;  // of the screen: what differs by less is in one row

        struct Entry
        {
            public Button Button;
            public Widget Widget;
            public bool Placed, Offers;
            public Offer Offer;
            public int Row, Id;
        }

        readonly ScreenPlaces places;
        readonly List<Entry> items = new List<Entry>();

        public MenuItems(ScreenPlaces places) { this.places = places; }

        public int Count { get { return items.Count; } }

        public Button this[int index] { get { return items[index].Button; } }

        public void Clear() { items.Clear(); }

        public void Add(Button button, string text, Offer? offer, bool enabled)
        {
            var item = new Entry { Button = button, Id = button.GetInstanceID(),
                Offers = offer.HasValue, Offer = offer.GetValueOrDefault() };
            item.Placed = places.TryPlace(button.gameObject, out item.Widget);
            item.Widget.Text = text;
            item.Widget.Enabled = enabled && button.interactable;
            items.Add(item);
        }

        /// <summary>Widgets and offers into `state`, both in reading order; what does not fit is
        /// left out, and can then not be pressed.</summary>
        public void Fill(GameState state)
        {
            Sort();
            if (items.Count > GameState.MaxWidgets)
                items.RemoveRange(GameState.MaxWidgets, items.Count - GameState.MaxWidgets);
            foreach (Entry item in items)
            {
                Widget widget = item.Widget;
                if (item.Offers && state.OfferCount < GameState.MaxOffers)
                {
                    state.Offers[state.OfferCount++] = item.Offer;
                    widget.Offer = (byte)state.OfferCount;
                }
                state.Widgets[state.WidgetCount++] = widget;
            }
        }

        // By rows from the top, within a row from the left; what is nowhere comes last. Rows first:
        // "about as high" of pairs is no order, and the same menu would read otherwise from frame to
        // frame.
        void Sort()
        {
            items.Sort(FromTheTop);
            float top = float.MinValue;
            int row = 0;
            for (int i = 0; i < items.Count; ++i)
            {
                Entry item = items[i];
                if (!item.Placed) row = int.MaxValue;
                else if (item.Widget.Y0 >= top + RowHeight)
                {
                    top = item.Widget.Y0;
                    ++row;
                }
                item.Row = row;
                items[i] = item;
            }
            items.Sort(ByRows);
        }

        static readonly Comparison<Entry> FromTheTop = delegate(Entry a, Entry b)
        {
            return a.Placed != b.Placed ? (a.Placed ? -1 : 1) : a.Widget.Y0.CompareTo(b.Widget.Y0);
        };

        static readonly Comparison<Entry> ByRows = delegate(Entry a, Entry b)
        {
            int by = a.Row.CompareTo(b.Row);
            if (by == 0) by = a.Widget.X0.CompareTo(b.Widget.X0);
            if (by == 0) by = a.Widget.Y0.CompareTo(b.Widget.Y0);
            return by != 0 ? by : a.Id.CompareTo(b.Id);
        };
    }
}
