// ScreenPlaces: where on the screen something of a menu is. Knows Unity's canvases, which lie over
// the screen or are drawn by a camera; no menu.
using System;
using Il2CppInterop.Runtime.InteropTypes.Arrays;
using Metabonk.Core;
using UnityEngine;

namespace Metabonk.Game
{
    public sealed class ScreenPlaces
    {
        readonly Il2CppStructArray<Vector3> corners = new Il2CppStructArray<Vector3>(4);

        /// <summary>The rectangle around something, 0..1 from the top left; whether it is
        /// anywhere.</summary>
        public bool TryPlace(GameObject holder, out Widget widget)
        {
            widget = new Widget();
            var rectangle = holder.GetComponent<RectTransform>();
            if (rectangle == null || Screen.width <= 0 || Screen.height <= 0) return false;
            rectangle.GetWorldCorners(corners);
            Camera camera = CameraOf(holder);
            float left = float.MaxValue, right = float.MinValue, low = left, high = right;
            for (int i = 0; i < corners.Length; ++i)
            {
                Vector2 pixel = RectTransformUtility.WorldToScreenPoint(camera, corners[i]);
                left = Math.Min(left, pixel.x);
                right = Math.Max(right, pixel.x);
                low = Math.Min(low, pixel.y);
                high = Math.Max(high, pixel.y);
            }
            widget.X0 = left / Screen.width;
            widget.X1 = right / Screen.width;
            widget.Y0 = 1 - high / Screen.height;
            widget.Y1 = 1 - low / Screen.height;
            return true;
        }

        // Corners are pixels where the canvas lies over the screen, and places in the world where a
        // camera draws it, as it does those of the agent (GpuCapture). The canvas is somewhere
        // above, and the outermost one counts.
        static Camera CameraOf(GameObject holder)
        {
            var canvas = holder.GetComponentInParent<Canvas>();
            if (canvas == null) return null;
            canvas = canvas.rootCanvas;
            if (canvas.renderMode == RenderMode.ScreenSpaceOverlay) return null;
            if (canvas.worldCamera != null) return canvas.worldCamera;
            // Without its camera a canvas of the screen lies over it all the same.
            return canvas.renderMode == RenderMode.WorldSpace ? Camera.main : null;
        }
    }
}
