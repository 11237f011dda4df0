// Our own stand-in for UnityEngine.UI and TextMeshPro: what the plugins use of them.
namespace UnityEngine.UI
{
    public class Button : UnityEngine.Behaviour
    {
        public class ButtonClickedEvent : UnityEngine.Events.UnityEvent { }

        bool ready = true;
        readonly ButtonClickedEvent clicked = new ButtonClickedEvent();
        public bool interactable { get { return ready; } set { ready = value; } }
        public ButtonClickedEvent onClick { get { return clicked; } }
    }
}

namespace UnityEngine.EventSystems
{
    public class EventSystem : UnityEngine.Behaviour
    {
        public static EventSystem current { get; set; }
        public UnityEngine.GameObject currentSelectedGameObject { get; set; }
    }
}

namespace TMPro
{
    public class TextMeshProUGUI : UnityEngine.Behaviour
    {
        public string text { get; set; }
    }
}
