"use strict";
// Redoc takes its colours as options: those of the reader's system.
(function () {
  var mono = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace";
  var sans = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
  function theme(dark) {
    var ink = dark ? "#e6e4df" : "#22262b", paper = dark ? "#16181c" : "#ffffff", side = dark ? "#1c1f24" : "#f6f5f2";
    var faint = dark ? "#a3a8b0" : "#5c636c", line = dark ? "#32363d" : "#e2e0da", accent = dark ? "#f0b34a" : "#8a5a00";
    return {
      colors: {
        primary: { main: accent, light: accent }, text: { primary: ink, secondary: faint }, border: { dark: line, light: line },
        success: { main: dark ? "#5fc38a" : "#166a3e" }, error: { main: dark ? "#ff8a80" : "#b3261e" },
        warning: { main: dark ? "#f0b34a" : "#8a5a00" },
        gray: { 50: side, 100: line },
        responses: {
          success: { color: dark ? "#5fc38a" : "#166a3e", backgroundColor: dark ? "#17271f" : "#e9f5ee", tabTextColor: dark ? "#5fc38a" : "#7fd6a4" },
          error: { color: dark ? "#ff8a80" : "#b3261e", backgroundColor: dark ? "#2c1b1b" : "#fbeceb", tabTextColor: "#ff9d94" }
        },
        http: { get: "#1b7f4b", post: "#2b5fb3", patch: "#8a5a00", "delete": "#b3261e" }
      },
      schema: { nestedBackground: side, typeNameColor: faint, typeTitleColor: faint, linesColor: line, requireLabelColor: dark ? "#ff8a80" : "#b3261e" },
      typography: {
        fontSize: "15px", lineHeight: "1.6", fontFamily: sans,
        headings: { fontFamily: sans, fontWeight: "600" },
        code: { fontFamily: mono, fontSize: "13px", color: dark ? "#f0b34a" : "#7a3e00", backgroundColor: dark ? "#262a30" : "#f3f1ec" },
        links: { color: accent, visited: accent, hover: accent }
      },
      sidebar: { backgroundColor: side, textColor: ink, activeTextColor: accent, width: "280px" },
      rightPanel: { backgroundColor: dark ? "#101215" : "#22262b", textColor: "#f2f0ea" },
      codeBlock: { backgroundColor: dark ? "#08090b" : "#14171a" },
      fab: { backgroundColor: dark ? "#32363d" : "#ffffff", color: accent },
      dark: dark
    };
  }
  var at = document.getElementById("reference"), scheme = window.matchMedia("(prefers-color-scheme: dark)");
  function show() {
    document.documentElement.classList.toggle("dark", scheme.matches);
    Redoc.init("/openapi.json", {
      theme: theme(scheme.matches), hideDownloadButton: true, requiredPropsFirst: true, expandResponses: "200,201,202",
      showExtensions: ["x-roles"], nativeScrollbars: true, sortTagsAlphabetically: false, hideHostname: true, hideSchemaPattern: true
    }, at);
  }
  scheme.addEventListener("change", function () { window.location.reload(); });
  show();
})();
