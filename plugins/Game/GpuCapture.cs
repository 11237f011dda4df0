// GpuCapture: pictures of the world and of the menus that an agent sees, in one texture of their
// own: not what is on the screen, so that overlays of other mods, chat and debug text are never in
// it. The camera's pictures come back from the GPU some frames later, without anybody waiting for
// them.
using System;
using System.Collections.Generic;
using Metabonk.Core;
using UnityEngine;
using UnityEngine.Rendering;

namespace Metabonk.Game
{
    public sealed unsafe class GpuCapture : ICapture, ISyncCapture
    {
        const int OnTheWayMost = 4, DrawsPerLook = 10;
        const float CanvasDistance = 1;

        struct Asked
        {
            public AsyncGPUReadbackRequest Request;
            public ulong Step;
            public long CaptureNs;
        }

        readonly RenderTexture texture;
        readonly Camera camera;
        readonly List<Asked> onTheWay = new List<Asked>();  // the oldest first
        readonly HashSet<string> agentCanvases;
        readonly List<Canvas> shown = new List<Canvas>();
        readonly Frame whole = new Frame();
        readonly int width, height;
        int drawn;

        /// <summary>canvases: names of the canvases that belong into the picture.</summary>
        public GpuCapture(int width, int height, string canvases)
        {
            MainThread.Check();
            this.width = width;
            this.height = height;
            agentCanvases = new HashSet<string>();
            foreach (string name in canvases.Split(','))
                if (name.Trim().Length > 0) agentCanvases.Add(name.Trim());
            texture = new RenderTexture(width, height, 24, RenderTextureFormat.ARGB32);
            texture.Create();
            var holder = new GameObject("Metabonk capture");
            UnityEngine.Object.DontDestroyOnLoad(holder);
            camera = holder.AddComponent<Camera>();
            camera.enabled = false;  // draws when it is told to
        }

        public long Failed { get; private set; }

        public bool Request(ulong step, long captureNs)
        {
            MainThread.Check();
            if (onTheWay.Count >= OnTheWayMost || !Draw()) return false;
            AsyncGPUReadbackRequest request = AsyncGPUReadback.Request(texture, 0,
                TextureFormat.RGBA32, null);
            onTheWay.Add(new Asked { Request = request, Step = step, CaptureNs = captureNs });
            return true;
        }

        public bool TryTake(Frame frame)
        {
            MainThread.Check();
            while (onTheWay.Count > 0 && onTheWay[0].Request.done)
            {
                Asked asked = onTheWay[0];
                onTheWay.RemoveAt(0);
                if (asked.Request.hasError || asked.Request.layerDataSize < width * height * 4)
                {
                    ++Failed;
                    continue;
                }
                Copy(asked.Request, frame);
                frame.Step = asked.Step;
                frame.CaptureNs = asked.CaptureNs;
                return true;
            }
            return false;
        }

        public void Take(Frame frame)
        {
            MainThread.Check();
            if (!Draw())
                throw new InvalidOperationException("the game has no main camera now: there is no picture until it has");
            AsyncGPUReadbackRequest request = AsyncGPUReadback.Request(texture, 0,
                TextureFormat.RGBA32, null);
            request.WaitForCompletion();
            if (request.hasError)
                throw new InvalidOperationException("the GPU did not give the picture");
            Copy(request, whole);
            FrameConverter.ToRgb(whole, RowOrder.BottomUp, frame);
        }

        // RGBA from the bottom up, as the GPU gives it.
        void Copy(AsyncGPUReadbackRequest request, Frame frame)
        {
            frame.ReserveRaw(PixelFormat.Rgba, RowOrder.BottomUp, width, height);
            IntPtr data = request.GetDataRaw(0);
            fixed (byte* to = frame.Pixels) Buffer.MemoryCopy((void*)data, to, frame.Bytes,
                frame.Bytes);
        }

        // False between two scenes, where there is no camera: what the texture shows then was drawn
        // long before.
        bool Draw()
        {
            Camera main = Camera.main;
            if (main == null) return false;
            if (drawn++ % DrawsPerLook == 0) FindCanvases();
            camera.CopyFrom(main);
            camera.targetTexture = texture;
            camera.transform.SetPositionAndRotation(main.transform.position,
                main.transform.rotation);
            foreach (Canvas canvas in shown)
                if (canvas != null) canvas.worldCamera = camera;
            camera.Render();
            foreach (Canvas canvas in shown)
                if (canvas != null) canvas.worldCamera = main;
            return true;
        }

        // A canvas that lies over the screen is in no camera's picture. Those of the agent are put
        // before the camera instead, where people see them as before; all others stay where they
        // are.
        void FindCanvases()
        {
            shown.Clear();
            if (agentCanvases.Count == 0) return;
            var found = UnityEngine.Object.FindObjectsOfType<Canvas>();
            for (int i = 0; i < found.Length; ++i)
            {
                Canvas canvas = found[i];
                if (!canvas.isRootCanvas || canvas.renderMode == RenderMode.WorldSpace
                    || !agentCanvases.Contains(canvas.name))
                    continue;
                canvas.renderMode = RenderMode.ScreenSpaceCamera;
                canvas.planeDistance = CanvasDistance;
                shown.Add(canvas);
            }
        }
    }
}
