// Our own stand-in for Unity's canvases: where what hangs below one is, in pixels of the screen or in
// the world, as the canvas wants it.
using Il2CppInterop.Runtime.InteropTypes.Arrays;

namespace UnityEngine
{
    public enum RenderMode { ScreenSpaceOverlay = 0, ScreenSpaceCamera = 1, WorldSpace = 2 }

    /// <summary>One below another draws where the outermost does; what it says of itself counts
    /// for nothing.</summary>
    public class Canvas : Behaviour
    {
        public RenderMode renderMode { get; set; }
        public Camera worldCamera { get; set; }
        public float planeDistance { get; set; }
        public bool isRootCanvas { get { return ReferenceEquals(rootCanvas, this); } }

        public Canvas rootCanvas
        {
            get
            {
                Canvas outermost = this;
                for (Transform at = transform; at != null; at = at.parent)
                    if (at.GetComponent<Canvas>() != null) outermost = at.GetComponent<Canvas>();
                return outermost;
            }
        }

        // Without its camera it lies over the screen all the same.
        internal bool Drawn { get { return renderMode == RenderMode.ScreenSpaceCamera
            && worldCamera != null; } }
    }

    public class RectTransform : Transform
    {
        /// <summary>Where it is seen, in pixels of the screen from the bottom left.</summary>
        public Rect Pixels;

        public void GetWorldCorners(Il2CppStructArray<Vector3> corners)
        {
            corners[0] = Corner(Pixels.x, Pixels.y);
            corners[1] = Corner(Pixels.x, Pixels.y + Pixels.height);
            corners[2] = Corner(Pixels.x + Pixels.width, Pixels.y + Pixels.height);
            corners[3] = Corner(Pixels.x + Pixels.width, Pixels.y);
        }

        Vector3 Corner(float x, float y)
        {
            var canvas = gameObject.GetComponentInParent<Canvas>();
            Canvas root = canvas == null ? null : canvas.rootCanvas;
            return root != null && root.Drawn ? root.worldCamera.PointAt(x, y, root.planeDistance)
                : new Vector3(x, y, 0);
        }
    }

    public static class RectTransformUtility
    {
        public static Vector2 WorldToScreenPoint(Camera camera, Vector3 point)
        {
            return camera == null ? new Vector2(point.x, point.y) : camera.PixelOf(point);
        }
    }
}
