// MegabonkGame: Megabonk behind Core's IGame: what the game says, piece by piece, and what is done
// to it. Main thread only: Unity allows nothing else. Knows the pieces; each piece knows its own
// part of the game's classes, as public mods name them.
using System;
using Assets.Scripts.Actors.Player;
using Assets.Scripts.Managers;
using Metabonk.Core;

namespace Metabonk.Game
{
    public sealed class MegabonkGame : IGame
    {
        readonly PlayerReader player = new PlayerReader();
        readonly MenuReader menus;
        readonly PickupTracker pickups;
        readonly PersonReader person;
        readonly Controls controls;

        public MegabonkGame(float lookDegreesPerSecond, Action<string> log)
        {
            pickups = new PickupTracker();
            var places = new ScreenPlaces();
            menus = new MenuReader(places);
            person = new PersonReader(menus, places, lookDegreesPerSecond);
            controls = new Controls(menus, person, lookDegreesPerSecond, log ?? delegate { });
        }

        public void Fill(GameState state)
        {
            MainThread.Check();
            bool playing = player.Fill(state);
            if (playing)
            {
                EnemyTracker.Fill(state);
                pickups.Fill(state);
            }
            else
            {
                EnemyTracker.Clear();
                pickups.Clear();
            }
            menus.Fill(state);
        }

        public InputSnapshot Input(float seconds)
        {
            MainThread.Check();
            return person.Read(seconds);
        }

        public void Apply(PlayerAction action, float seconds)
        {
            MainThread.Check();
            controls.Apply(action, seconds);
        }

        public void Release()
        {
            MainThread.Check();
            controls.Release();
        }

        public string Restart(ResetRequest request)
        {
            MainThread.Check();
            if (MyPlayer.Instance == null)
                return "no run is there to begin anew: begin one in the menus, by hand or by an agent's presses";
            EnemyTracker.Clear();
            pickups.Clear();
            if (request.HasSeed) UnityEngine.Random.InitState(unchecked((int)request.Seed));
            MapController.RestartRun();
            return "";
        }
    }
}
