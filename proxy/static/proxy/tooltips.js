// Django's boxes for choosing many name their filter by the label of an icon: only as an image may it have one.
addEventListener("load", () => {
  for (const icon of document.querySelectorAll(".selector .help-tooltip")) icon.setAttribute("role", "img");
});
