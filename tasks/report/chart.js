// Draws the chart whose spec stands in the page. Vega's expressions are interpreted, so that the page needs no eval; and
// of the menu only what saves a picture is left, since its views of the source would write texts as HTML.
const spec = JSON.parse(document.getElementById("spec").textContent);
const actions = { export: true, source: false, compiled: false, editor: false };
vegaEmbed("#chart", spec, { ast: true, renderer: "svg", actions }).catch(console.error);
