// MenuReader: which menu is open, what can be selected there and where on the screen it is.
// Presses what was selected. Knows the game's windows; the level-up window, encounters and chests
// by their own classes, every other menu by its buttons. What is offered is OfferReader's.
using System;
using System.Collections.Generic;
using Assets.Scripts.Utility;
using Il2CppInterop.Runtime.InteropTypes.Arrays;
using Metabonk.Core;
using TMPro;
using UnityEngine;
using UnityEngine.SceneManagement;
using Button = UnityEngine.UI.Button;

namespace Metabonk.Game
{
    public sealed class MenuReader
    {
        readonly List<Button> buttons = new List<Button>();
        readonly Il2CppStructArray<Vector3> corners = new Il2CppStructArray<Vector3>(4);
        LevelupScreen levelup;
        EncounterUi encounter;
        ChestWindowUi chest;
        PauseUi pause;

        /// <summary>Whether something could be selected when it was last filled.</summary>
        public bool Open { get { return buttons.Count > 0; } }

        /// <summary>Fills menu, widgets and offers, in reading order.</summary>
        public void Fill(GameState state)
        {
            buttons.Clear();
            state.Menu = Read(state);
            state.Fields |= FieldGroup.Menu | FieldGroup.Widgets | FieldGroup.Offers | FieldGroup.OfferDetail;
        }

        string Read(GameState state)
        {
            // Looked for only while the game stands still: in play there is no window to find.
            if (state.Playing && !MyTime.paused) return "None";
            if (Shown(ref levelup) && levelup.window != null && levelup.window.activeInHierarchy)
            {
                AddUpgrades(state);
                return "LevelUp";
            }
            if (Shown(ref encounter))
            {
                AddEncounter(encounter.rarityButtons, state);
                AddEncounter(encounter.genericButtons, state);
                return "Encounter";
            }
            if (Shown(ref chest) && (Usable(chest.b_take) || Usable(chest.b_open)))
            {
                if (Usable(chest.b_take)) AddWidget(chest.b_take.button, "Take", 0, state);
                if (Usable(chest.b_open)) AddWidget(chest.b_open.button, "Open", 0, state);
                return "Chest";
            }
            AddPlainButtons(state);
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

        void AddUpgrades(GameState state)
        {
            var found = UnityEngine.Object.FindObjectsOfType<UpgradeButton>();
            for (int i = 0; i < found.Length; ++i)
            {
                UpgradeButton one = found[i];
                if (!one.isActiveAndEnabled || one.button == null
                    || state.OfferCount == GameState.MaxOffers)
                    continue;
                state.Offers[state.OfferCount++] = OfferReader.Of(one);
                AddWidget(one.button, state.Offers[state.OfferCount - 1].Text, state.OfferCount,
                    state);
            }
        }

        void AddEncounter(Il2CppSystem.Collections.Generic.List<EncounterButton> list,
            GameState state)
        {
            if (list == null) return;
            foreach (EncounterButton one in list)
            {
                if (one == null || !one.isActiveAndEnabled || one.button == null) continue;
                string text = TextOf(one.gameObject);
                if (state.OfferCount < GameState.MaxOffers)
                    state.Offers[state.OfferCount++] =
                        new Offer { Kind = OfferKind.Reward, Text = text };
                AddWidget(one.button, text, state.OfferCount, state);
                if (!one.canAccept) state.Widgets[state.WidgetCount - 1].Enabled = false;
            }
        }

        void AddPlainButtons(GameState state)
        {
            var found = UnityEngine.Object.FindObjectsOfType<MyButton>();
            for (int i = 0; i < found.Length; ++i)
                if (Usable(found[i]))
                    AddWidget(found[i].button, TextOf(found[i].gameObject), 0, state);
            Sort(state);
        }

        void AddWidget(Button button, string text, int offer, GameState state)
        {
            if (state.WidgetCount == GameState.MaxWidgets) return;
            Widget widget;
            TryPlace(button.gameObject, out widget);
            widget.Enabled = button.interactable;
            widget.Offer = (byte)offer;
            widget.Text = text;
            state.Widgets[state.WidgetCount++] = widget;
            buttons.Add(button);
        }

        // By rows from the top, within a row from the left.
        void Sort(GameState state)
        {
            for (int i = 1; i < state.WidgetCount; ++i)
            {
                for (int j = i; j > 0 && Before(state.Widgets[j], state.Widgets[j - 1]); --j)
                {
                    Widget widget = state.Widgets[j];
                    state.Widgets[j] = state.Widgets[j - 1];
                    state.Widgets[j - 1] = widget;
                    Button button = buttons[j];
                    buttons[j] = buttons[j - 1];
                    buttons[j - 1] = button;
                }
            }
        }

        static bool Before(Widget a, Widget b)
        {
            const float Row = 0.02f;
            return a.Y0 < b.Y0 - Row || a.Y0 < b.Y0 + Row && a.X0 < b.X0;
        }

        /// <summary>Where on the screen something is, 0..1 from the top left; whether it is
        /// anywhere.</summary>
        public bool TryPlace(GameObject holder, out Widget widget)
        {
            widget = new Widget();
            var rectangle = holder.GetComponent<RectTransform>();
            if (rectangle == null || Screen.width <= 0 || Screen.height <= 0) return false;
            rectangle.GetWorldCorners(corners);
            Canvas canvas = holder.GetComponent<Canvas>();
            Camera camera = canvas != null && canvas.renderMode == RenderMode.ScreenSpaceCamera
                ? canvas.worldCamera : null;
            Vector2 low = RectTransformUtility.WorldToScreenPoint(camera, corners[0]), high =
                RectTransformUtility.WorldToScreenPoint(camera, corners[2]);
            widget.X0 = low.x / Screen.width;
            widget.X1 = high.x / Screen.width;
            widget.Y0 = 1 - high.y / Screen.height;
            widget.Y1 = 1 - low.y / Screen.height;
            return true;
        }

        static string TextOf(GameObject holder)
        {
            var label = holder.GetComponent<TextMeshProUGUI>();
            return label == null || label.text == null ? holder.name ?? "" : label.text;
        }

        /// <summary>Presses the widget with that index, as it was last filled; whether it could
        /// be.</summary>
        public bool Press(int index)
        {
            if (index < 0 || index >= buttons.Count || buttons[index] == null
                || !buttons[index].interactable)
                return false;
            buttons[index].onClick.Invoke();
            return true;
        }

        /// <summary>Presses what lies under a place of the screen, 0..1 from the top
        /// left.</summary>
        public bool Click(float x, float y)
        {
            for (int i = buttons.Count - 1; i >= 0; --i)
            {
                Widget widget;
                if (buttons[i] == null || !TryPlace(buttons[i].gameObject, out widget)) continue;
                if (x >= widget.X0 && x <= widget.X1 && y >= widget.Y0 && y <= widget.Y1)
                    return Press(i);
            }
            return false;
        }
    }
}
