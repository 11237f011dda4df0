// IGame and ICapture: what the drivers want of a game, on its main thread. Everything that knows
// Unity is behind these two.
namespace Metabonk.Core
{
    public interface IGame
    {
        /// <summary>Everything that the game says now; sets Fields to what it could fill.</summary>
        void Fill(GameState state);

        /// <summary>What the person at the game does now. seconds: the length of the frame that
        /// ended, in which they turned as far as they did.</summary>
        InputSnapshot Input(float seconds);

        /// <summary>Injects an action for the frame that follows. seconds: how long that
        /// is.</summary>
        void Apply(PlayerAction action, float seconds);

        /// <summary>Injects nothing any longer: the person at the game plays.</summary>
        void Release();

        /// <summary>Begins a new run. Empty if it did, else why it could not, and what to
        /// do.</summary>
        string Restart(ResetRequest request);
    }

    public interface ICapture
    {
        /// <summary>Asks for a picture of this frame. False if there is nothing to draw, or too
        /// many are still on the way.</summary>
        bool Request(ulong step, long captureNs);

        /// <summary>The newest picture that has arrived since; false if there is none.</summary>
        bool TryTake(Frame frame);

        /// <summary>Pictures that were asked for and never came.</summary>
        long Failed { get; }
    }
}
