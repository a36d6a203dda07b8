// An image may be pasted or dropped anywhere on the page, whatever the field shows.
(() => {
  const field = () => document.querySelector('#image input[type=file]');

  const shown = () => new Promise(resolve => {
    const look = () => {
      if (!field()) return;
      watcher.disconnect();
      resolve();
    };
    const watcher = new MutationObserver(look);
    watcher.observe(document.body, {childList: true, subtree: true});
    if (!field()) document.querySelector('#image button[aria-label="Upload file"]')?.click();
    look();
  });

  const send = async transfer => {
    const file = transfer?.files[0];
    if (!file) return;
    await shown();
    const chosen = new DataTransfer();
    chosen.items.add(file);
    field().files = chosen.files;
    field().dispatchEvent(new Event('change', {bubbles: true}));
  };

  document.addEventListener('paste', event => send(event.clipboardData));
  document.addEventListener('dragover', event => event.preventDefault());
  document.addEventListener('drop', event => {
    if (event.defaultPrevented) return; // the field has taken it
    event.preventDefault();
    send(event.dataTransfer);
  });
})();
