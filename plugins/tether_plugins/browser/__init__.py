"""The plugin `browser`: a headless Chromium in any image, driven by Playwright."""
