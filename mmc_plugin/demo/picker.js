// Files are sent within an event, as base64: the server writes none for it.
const box = () => element.querySelector('.picker');
const say = (words) => { element.querySelector('.drop span').textContent = words; };
const base64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});
const words = element.querySelector('.drop span').textContent;
const take = async (list) => {
  const files = [...list].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  if (!files.length) return;
  const total = files.reduce((sum, file) => sum + file.size, 0);
  if (total > Number(box().dataset.limit)) {
    say('Too large: at most ' + Math.floor(box().dataset.limit / 2 ** 20) + ' MB');
    return;
  }
  say('Sending ' + files[0].name + ' …');
  try {
    const data = await Promise.all(files.map(base64));
    trigger('upload', { name: files[0].name, data });
    say(words);
  } catch (error) {
    say('The file cannot be read');
  }
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
  take(event.dataTransfer.files);
});
