// Files go to a route of their own, one after another in one body; the event then names the key that it answers.
const box = () => element.querySelector('.picker');
const words = element.querySelector('.drop span').textContent;
const say = (text, bad = false) => {
  element.querySelector('.drop span').textContent = text;
  box().classList.toggle('bad', bad);
};
const order = new Intl.Collator(undefined, { numeric: true });  // 2 before 10
// Of frames no more are sent than the page takes, and one that says that there are more.
const take = async (list, folder = false) => {
  const { kind, limit, most } = box().dataset;
  const frames = (each) => each.file.type.startsWith('image/') && !each.file.name.startsWith('.');
  const files = list.filter((each) => !folder || frames(each)).sort((a, b) => order.compare(a.path, b.path))
    .slice(0, Number(most) + 1).map((each) => each.file);
  if (!files.length) return list.length ? say('There are no images in this folder', true) : undefined;
  if (files.reduce((sum, file) => sum + file.size, 0) > Number(limit)) {
    say('Too large: at most ' + Math.floor(limit / 2 ** 20) + ' MB', true);
    return;
  }
  say('Sending ' + (files.length > 1 ? files.length + ' files, from ' : '') + files[0].name + ' …');
  try {
    const sizes = files.map((file) => file.size).join(',');
    const answer = await fetch('upload/' + kind + '?sizes=' + sizes, { method: 'POST', body: new Blob(files) });
    if (answer.status !== 200 && answer.status !== 400) throw new Error(await answer.text());
    const { key, words: refused } = await answer.json();
    if (!key) return say(refused.replace(/^File (\d+)/, (_, place) => files[place - 1].name), true);
    trigger('upload', { name: files[0].name, key });
    say(words);
  } catch (error) {
    say('The file could not be sent: ' + error.message, true);
  }
};
// The files of a dropped entry, with their places below it.
const inside = async (entry) => {
  if (entry.isFile) {
    const file = await new Promise((found, failed) => entry.file(found, failed));
    return [{ file, path: entry.fullPath }];
  }
  const reader = entry.createReader(), entries = [];
  for (let some = [1]; some.length; entries.push(...some))
    some = await new Promise((found, failed) => reader.readEntries(found, failed));
  return (await Promise.all(entries.map(inside))).flat();
};
element.addEventListener('change', (event) => {
  if (event.target.type !== 'file') return;
  const chosen = [...event.target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  take(chosen, event.target.webkitdirectory).then(() => { event.target.value = ''; });
});
element.addEventListener('click', (event) => {
  const sample = event.target.closest('.sample');
  if (sample) trigger('sample', { name: sample.dataset.name });
});
element.addEventListener('dragover', (event) => { event.preventDefault(); box().classList.add('over'); });
element.addEventListener('dragleave', () => box().classList.remove('over'));
element.addEventListener('drop', (event) => {
  event.preventDefault();
  box().classList.remove('over');
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  Promise.all(entries.map(inside)).then((found) => take(found.flat(), entries.some((each) => each.isDirectory)))
    .catch((error) => say('The files cannot be read: ' + error.message, true));
});
