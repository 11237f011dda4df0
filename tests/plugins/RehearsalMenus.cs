// The menus of the cardboard game. As in Unity their buttons hang below a canvas, some levels down,
// their words are children of theirs, and what Unity finds first of them means nothing: they are made
// in another order than one reads them in.
using System;
using System.Collections.Generic;
using Assets.Scripts.Actors.Player;
using Assets.Scripts.Inventory__Items__Pickups;
using Assets.Scripts.Inventory__Items__Pickups.Stats;
using Assets.Scripts.Inventory__Items__Pickups.Weapons;
using Assets.Scripts.Menu.Shop;
using Assets.Scripts.Utility;
using TMPro;
using UnityEngine;
using UnityEngine.SceneManagement;
using Button = UnityEngine.UI.Button;

static partial class Rehearsal
{
    static LevelupScreen levelup;
    static int pressed;  // the digits of what was pressed, the last one last
    static readonly List<GameObject> offers = new List<GameObject>();  // in reading order

    static void BuildMenus()
    {
        levelup = WindowOf("LevelupScreen").AddComponent<LevelupScreen>();
        levelup.window = Below(levelup.gameObject, "Window");
        levelup.window.SetActive(false);
    }

    // With a canvas of its own, as the outermost object of a window has.
    static GameObject WindowOf(string name)
    {
        var holder = new GameObject(name);
        holder.AddComponent<Canvas>();
        return holder;
    }

    static GameObject Below(GameObject above, string name)
    {
        var holder = new GameObject(name);
        holder.transform.SetParent(above.transform);
        return holder;
    }

    static GameObject HolderAt(GameObject above, float x, float y, float width, float height)
    {
        // The game has clones, and its words in many languages.
        GameObject holder = Below(above, "B_Button(Clone)");
        holder.Add(new RectTransform()).Pixels = new Rect { x = x, y = y, width = width,
            height = height };
        return holder;
    }

    static void Label(GameObject holder, string text)
    {
        Below(holder, "T_Badge").AddComponent<TextMeshProUGUI>().text = " ";
        Below(Below(holder, "Layout"), "T_Text").AddComponent<TextMeshProUGUI>().text = text;
    }

    // Pressed, it says its digit and closes the menu.
    static Button Presses(GameObject holder, int digit, Action close)
    {
        var button = holder.AddComponent<Button>();
        button.onClick.Invoked += delegate
        {
            pressed = pressed * 10 + digit;
            MyTime.paused = false;
            close();
        };
        return button;
    }

    static void LevelUp()
    {
        MyTime.paused = true;
        levelup.window.SetActive(true);
        offers.AddRange(new GameObject[3]);
        foreach (int i in new[] { 1, 2, 0 }) offers[i] = Upgrade(i);
    }

    static GameObject Upgrade(int i)
    {
        // A little higher each, as hands would place them: one row all the same.
        GameObject holder = HolderAt(levelup.window, 100 + 300 * i, 200 + 2 * i, 200, 400);
        var one = holder.AddComponent<UpgradeButton>();
        one.button = Presses(holder, i + 1, CloseLevelUp);
        one.upgradable = i == 2 ? (IUpgradable)new TomeData { Name = "Eile", Level = i,
            eTome = ETome.Speed } : new WeaponData { Name = "Weapon " + i, Level = i,
            eWeapon = EWeapon.Bow + i };
        one.rarity = (ERarity)(i + 1);
        one.upgradeOffer = new Il2CppSystem.Collections.Generic.List<StatModifier>();
        one.upgradeOffer.Add(new StatModifier { stat = EStat.Damage,
            modifyType = EStatModifyType.Multiplication, modification = 0.25f });
        return holder;
    }

    static void CloseLevelUp()
    {
        levelup.window.SetActive(false);
        foreach (GameObject offer in offers) offer.SetActive(false);
        offers.Clear();
    }

    // Two rare rewards above one that is always there, below a canvas within a canvas.
    static void Encounter()
    {
        MyTime.paused = true;
        GameObject screen = WindowOf("EncounterUi");
        var encounter = screen.AddComponent<EncounterUi>();
        GameObject list = Below(screen, "List");
        list.AddComponent<Canvas>();
        encounter.genericButtons.Add(Reward(screen, list, "Leave", 4, 300, 100));
        encounter.rarityButtons.Add(Reward(screen, list, "A blessing", 5, 700, 400));
        encounter.rarityButtons.Add(Reward(screen, list, "A curse", 6, 100, 400));
        encounter.rarityButtons[1].canAccept = false;
    }

    // More than a state has room for, five in a row, the last one made first.
    static void Crowd(int count)
    {
        MyTime.paused = true;
        GameObject screen = WindowOf("EncounterUi");
        var encounter = screen.AddComponent<EncounterUi>();
        for (int i = count - 1; i >= 0; --i)
            encounter.genericButtons.Add(Reward(screen, screen, "Reward " + i, 1,
                10 + i % 5 * 250, 650 - i / 5 * 70));
    }

    static EncounterButton Reward(GameObject screen, GameObject list, string text, int digit, float x,
        float y)
    {
        GameObject holder = HolderAt(list, x, y, 200, 60);
        var one = holder.AddComponent<EncounterButton>();
        one.button = Presses(holder, digit, delegate { screen.SetActive(false); });
        one.canAccept = true;
        Label(holder, text);
        return one;
    }

    static MyButton Plain(GameObject screen, string text, int digit, float x, float y,
        Action next = null)
    {
        GameObject holder = HolderAt(screen, x, y, 200, 60);
        var one = holder.AddComponent<MyButton>();
        one.button = Presses(holder, digit, delegate
        {
            screen.SetActive(false);
            if (next != null) next();
        });
        if (text.Length > 0) Label(holder, text);
        return one;
    }

    static void ChestWindow()
    {
        MyTime.paused = true;
        GameObject screen = WindowOf("ChestWindowUi");
        var window = screen.AddComponent<ChestWindowUi>();
        window.b_take = Plain(screen, "Nehmen", 7, 600, 300);
        window.b_open = Plain(screen, "Öffnen", 8, 200, 300);
    }

    static void PauseMenu()
    {
        MyTime.paused = true;
        GameObject screen = WindowOf("PauseUi");
        screen.AddComponent<PauseUi>();
        Plain(screen, "Quit", 8, 540, 200);
        Plain(screen, "", 0, 100, 200);  // a picture and no words
        Plain(screen, "Resume", 9, 540, 500);
    }

    // As after the game was started, or a run was left: nobody to play, no clock, and two menus
    // before the next run.
    static void MainMenu()
    {
        MyPlayer.Instance = null;
        GameManager.Instance = null;
        SceneManager.Active = new Scene { name = "MainMenu" };
        MyTime.paused = false;
        GameObject screen = WindowOf("MainMenuUi");
        Plain(screen, "Quit", 8, 540, 200, MainMenu);  // a game that ended would be of no use here
        Plain(screen, "Play", 1, 540, 400, ChooseCharacter);
    }

    static void ChooseCharacter()
    {
        GameObject screen = WindowOf("CharacterUi");
        Plain(screen, "Back", 3, 100, 100, MainMenu);
        Plain(screen, "Confirm", 2, 540, 100, delegate
        {
            EnterMap();
            Restarted();
        });
    }
}
