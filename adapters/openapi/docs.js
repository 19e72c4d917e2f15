// Whatever would call elsewhere is switched off: the page works without a network.
Scalar.createApiReference("#reference", {
  sources: [
    { title: "Partners", slug: "partners", url: "/openapi.json", default: true },
    { title: "Operators", slug: "operators", url: "/openapi.operator.json" },
  ],
  agent: { disabled: true },
  authentication: { preferredSecurityScheme: "apiKey" },
  defaultOpenAllTags: false,
  documentDownloadType: "json",
  hideClientButton: true,
  mcp: { disabled: true },
  persistAuth: false,
  showDeveloperTools: "never",
  telemetry: false,
  withDefaultFonts: false,
});
