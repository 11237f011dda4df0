// MenuReader: which menu is open and what can be selected there. Presses what was selected. Knows
// the game's windows; the level-up window, encounters and chests by their own classes, every other
// menu by its buttons. What is offered is OfferReader's, in which order it is told MenuItems'.
using Assets.Scripts.Utility;
using Metabonk.Core;
using TMPro;
using UnityEngine;
using UnityEngine.SceneManagement;
using Button = UnityEngine.UI.Button;

namespace Metabonk.Game
{
    public sealed class MenuReader
    {
        readonly ScreenPlaces places;
        readonly MenuItems items;
        LevelupScreen levelup;
        EncounterUi encounter;
        ChestWindowUi chest;
        PauseUi pause;

        public MenuReader(ScreenPlaces places)
        {
            this.places = places;
            items = new MenuItems(places);
        }

        /// <summary>Whether something could be selected when it was last filled.</summary>
        public bool Open { get { return items.Count > 0; } }

        /// <summary>Fills menu, widgets and offers, in reading order.</summary>
        public void Fill(GameState state)
        {
            items.Clear();
            state.Menu = Read(state);
            items.Fill(state);
            state.Fields |= FieldGroup.Menu | FieldGroup.Widgets | FieldGroup.Offers | FieldGroup.OfferDetail;
        }

        string Read(GameState state)
        {
            // Looked for only while the game stands still: in play there is no window to find.
            if (state.Playing && !MyTime.paused) return "None";
            if (Shown(ref levelup) && levelup.window != null && levelup.window.activeInHierarchy)
            {
                AddUpgrades();
                return "LevelUp";
            }
            if (Shown(ref encounter))
            {
                AddEncounter(encounter.rarityButtons);
                AddEncounter(encounter.genericButtons);
                return "Encounter";
            }
            if (Shown(ref chest) && (Usable(chest.b_take) || Usable(chest.b_open)))
            {
                if (Usable(chest.b_take)) items.Add(chest.b_take.button, "Take", null, true);
                if (Usable(chest.b_open)) items.Add(chest.b_open.button, "Open", null, true);
                return "Chest";
            }
            AddPlainButtons();
            if (!state.Playing)
                return state.MaxHealth > 0 ? "Death" : SceneManager.GetActiveScene().name ?? "None";
            return Shown(ref pause) ? "Pause" : "None";
        }

        static bool Shown<T>(ref T window) where T : Behaviour
        {
            if (window == null) window = UnityEngine.Object.FindObjectOfType<T>();
            return window != null && window.isActiveAndEnabled;
        }

        static bool Usable(MyButton button)
        {
            return button != null && button.isActiveAndEnabled && button.button != null;
        }

        void AddUpgrades()
        {
            var found = UnityEngine.Object.FindObjectsOfType<UpgradeButton>();
            for (int i = 0; i < found.Length; ++i)
            {
                UpgradeButton one = found[i];
                if (!one.isActiveAndEnabled || one.button == null) continue;
                Offer offer = OfferReader.Of(one);
                items.Add(one.button, offer.Text, offer, true);
            }
        }

        void AddEncounter(Il2CppSystem.Collections.Generic.List<EncounterButton> list)
        {
            if (list == null) return;
            foreach (EncounterButton one in list)
            {
                if (one == null || !one.isActiveAndEnabled || one.button == null) continue;
                string text = TextOf(one.gameObject);
                items.Add(one.button, text, new Offer { Kind = OfferKind.Reward, Text = text },
                    one.canAccept);
            }
        }

        void AddPlainButtons()
        {
            var found = UnityEngine.Object.FindObjectsOfType<MyButton>();
            for (int i = 0; i < found.Length; ++i)
                if (Usable(found[i]))
                    items.Add(found[i].button, TextOf(found[i].gameObject), null, true);
        }

        // Labels are children of their buttons. What shows a picture alone is called by its object's
        // name.
        static string TextOf(GameObject holder)
        {
            var labels = holder.GetComponentsInChildren<TextMeshProUGUI>();
            for (int i = 0; i < labels.Length; ++i)
                if (!string.IsNullOrWhiteSpace(labels[i].text)) return labels[i].text;
            return holder.name ?? "";
        }

        /// <summary>Presses the widget with that index, as it was last filled; whether it could
        /// be.</summary>
        public bool Press(int index)
        {
            if (index < 0 || index >= items.Count || items[index] == null
                || !items[index].interactable)
                return false;
            items[index].onClick.Invoke();
            return true;
        }

        /// <summary>Presses what lies under a place of the screen, 0..1 from the top
        /// left.</summary>
        public bool Click(float x, float y)
        {
            for (int i = items.Count - 1; i >= 0; --i)
            {
                Widget widget;
                if (items[i] == null || !places.TryPlace(items[i].gameObject, out widget)) continue;
                if (x >= widget.X0 && x <= widget.X1 && y >= widget.Y0 && y <= widget.Y1)
                    return Press(i);
            }
            return false;
        }
    }
}
