// Files go to a route of their own, one after another in one body; the event then names the key that it answers.
const box = () => element.querySelector('.picker');
const words = element.querySelector('.drop span').textContent;
const say = (text, bad = false) => {
  element.querySelector('.drop span').textContent = text;
  box().classList.toggle('bad', bad);
};
const take = async (list) => {
  const files = [...list].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  if (!files.length) return;
  const { kind, limit } = box().dataset;
  if (files.reduce((sum, file) => sum + file.size, 0) > Number(limit)) {
    say('Too large: at most ' + Math.floor(limit / 2 ** 20) + ' MB', true);
    return;
  }
  say('Sending ' + files[0].name + ' …');
  try {
    const sizes = files.map((file) => file.size).join(',');
    const answer = await fetch('upload/' + kind + '?sizes=' + sizes, { method: 'POST', body: new Blob(files) });
    if (answer.status !== 200 && answer.status !== 400) throw new Error(await answer.text());
    const { key, words: refused } = await answer.json();
    if (!key) return say(refused, true);
    trigger('upload', { name: files[0].name, key });
    say(words);
  } catch (error) {
    say('The file could not be sent: ' + error.message, true);
  }
};
// A dropped folder is taken as the images in it.
const inside = async (entry) => {
  if (entry.isFile) return [await new Promise((found, failed) => entry.file(found, failed))];
  const reader = entry.createReader(), entries = [];
  for (let some = [1]; some.length; entries.push(...some))
    some = await new Promise((found, failed) => reader.readEntries(found, failed));
  return (await Promise.all(entries.map(inside))).flat().filter((file) => file.type.startsWith('image/'));
};
element.addEventListener('change', (event) => {
  if (event.target.type !== 'file') return;
  take(event.target.files).then(() => { event.target.value = ''; });
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
  Promise.all(entries.map(inside)).then((files) => take(files.flat()));
});
