/** Files of a run, looked at in place: pictures as pictures, everything else as text. */

const TEXT_BYTES = 256 * 1024;
const PICTURE = /\.(png|jpe?g|gif|webp)$/i;

const dialog = /** @type {HTMLDialogElement | null} */ (document.querySelector("[data-dialog]"));

/** @param {string} name @param {string} address @param {number} size */
async function view(name, address, size) {
  if (!dialog) return;
  const content = /** @type {HTMLElement} */ (dialog.querySelector("[data-content]"));
  const told = /** @type {HTMLElement} */ (dialog.querySelector("[data-told]"));
  /** @type {HTMLElement} */ (dialog.querySelector("[data-title]")).textContent = name;
  told.textContent = "";
  content.replaceChildren();
  dialog.showModal();
  if (PICTURE.test(name)) {
    const image = new Image();
    image.alt = name;
    image.src = `${address}?view=inline`;
    image.addEventListener("error", () => (told.textContent = "This is not a picture."));
    content.append(image);
    return;
  }
  const answer = await fetch(address, size ? { headers: { range: `bytes=0-${TEXT_BYTES - 1}` } } : {});
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const text = document.createElement("pre");
  if (!answer.ok) text.textContent = "The content cannot be fetched.";
  else if (bytes.includes(0)) text.textContent = "This file is no text. It can be downloaded.";
  else text.textContent = new TextDecoder().decode(bytes);
  if (size > TEXT_BYTES) told.textContent = "The first 256 kB";
  content.append(text);
}

document.querySelector("[data-files]")?.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("button");
  if (button?.dataset.view) {
    void view(button.dataset.name ?? "", button.dataset.view, Number(button.dataset.size));
  } else if (button?.hasAttribute("data-close")) {
    dialog?.close();
  }
});
dialog?.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
