// ActionMailbox: from the thread that hears an agent to the game's main thread, which takes one
// action per tick. The newest counts; what is pressed in an action that was overtaken is kept until
// it is taken. Knows no sockets and no game.
namespace Metabonk.Core
{
    /// <summary>An action as it came.</summary>
    public struct ArrivedAction
    {
        public PlayerAction Action;
        public ulong Sequence;   // its own
        public ulong Answers;    // sequence of the state that it answers; 0 in v1
        public long MadeNs;      // the agent's clock; 0 in v1
        public long ReceivedNs;  // ours
    }

    /// <summary>Where the action of a tick comes from.</summary>
    public enum ActionSource
    {
        None,   // nobody acts: the person at the game does
        Fresh,  // came since the tick before
        Held,   // none came: the last one's moves go on
        Safe,   // none came for too long: nothing is pressed
    }

    public struct ActionCounts
    {
        public long Received, Overtaken, Fresh, Held, Safe;
    }

    public sealed class ActionMailbox
    {
        readonly object gate = new object();
        readonly long holdNs;
        ArrivedAction newest;
        bool fresh, any;
        ulong lastTaken;
        ActionCounts counts = new ActionCounts();

        /// <summary>holdNs: how long the last action's moves go on when no new one comes.</summary>
        public ActionMailbox(long holdNs) { this.holdNs = holdNs; }

        public ActionCounts Counts { get { lock (gate) return counts; } }

        /// <summary>Sequence of the newest action that a tick took, whichever connection it came by; 0
        /// for none. What STEP says.</summary>
        public ulong LastTaken { get { lock (gate) return lastTaken; } }

        public void Put(ArrivedAction arrived)
        {
            lock (gate)
            {
                ++counts.Received;
                if (fresh)
                {
                    ++counts.Overtaken;
                    arrived.Action = WithPresses(arrived.Action, newest.Action);
                }
                newest = arrived;
                fresh = any = true;
            }
        }

        /// <summary>The agent is gone: nothing is held any longer.</summary>
        public void Clear()
        {
            lock (gate) fresh = any = false;
        }

        /// <summary>The action of this tick. Main thread, once per tick.</summary>
        public ActionSource Take(long nowNs, out ArrivedAction taken)
        {
            lock (gate)
            {
                taken = newest;
                taken.Action = newest.Action.Sane();
                if (!any)
                {
                    taken = new ArrivedAction { Action = PlayerAction.Idle };
                    return ActionSource.None;
                }
                if (fresh)
                {
                    fresh = false;
                    lastTaken = newest.Sequence;
                    ++counts.Fresh;
                    return ActionSource.Fresh;
                }
                if (nowNs - newest.ReceivedNs > holdNs)
                {
                    ++counts.Safe;
                    taken.Action = PlayerAction.Idle;
                    return ActionSource.Safe;
                }
                ++counts.Held;
                taken.Action = WithoutPresses(taken.Action);
                return ActionSource.Held;
            }
        }

        internal static PlayerAction WithPresses(PlayerAction action, PlayerAction before)
        {
            if (PlayerAction.Pressed(before.Jump)) action.Jump = 1;
            if (PlayerAction.Pressed(before.Slide)) action.Slide = 1;
            if (PlayerAction.Pressed(before.Interact)) action.Interact = 1;
            if (action.ChosenWidget < 0 && !action.HasClick)
            {
                action.Choice = before.Choice;
                action.ClickX = before.ClickX;
                action.ClickY = before.ClickY;
            }
            return action;
        }

        static PlayerAction WithoutPresses(PlayerAction action)
        {
            action.Jump = action.Slide = action.Interact = action.Choice = 0;
            action.ClickX = action.ClickY = -1;
            return action;
        }
    }
}
