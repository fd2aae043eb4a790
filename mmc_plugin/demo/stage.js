// Clicks and keys on pictures become events; (x, y) are parts of the width and the height.
// A dot is new until the picture that has it comes; of a point that is refused, none comes.
let cross = [0.5, 0.5], place = -1;
const areas = () => [...element.querySelectorAll('.click-area')];
const draw = (area) => {
  const mark = area.querySelector('.cross');
  mark.style.left = 100 * cross[0] + '%';
  mark.style.top = 100 * cross[1] + '%';
};
const point = (area, x, y, beside) => {
  const dot = document.createElement('span');
  dot.className = 'dot new ' + (beside ? 'beside' : 'on');
  dot.style.left = 100 * x + '%';
  dot.style.top = 100 * y + '%';
  area.appendChild(dot);
  trigger('point', { x, y, beside });
};
const at = (event, area) => {
  const box = area.getBoundingClientRect();
  const part = (value, start, length) => Math.min(1, Math.max(0, (value - start) / length));
  return [part(event.clientX, box.left, box.width), part(event.clientY, box.top, box.height)];
};
for (const kind of ['click', 'contextmenu'])
  element.addEventListener(kind, (event) => {
    const area = event.target.closest('.click-area');
    if (!area) return;
    event.preventDefault();
    place = areas().indexOf(area);
    cross = at(event, area);
    point(area, ...cross, event.shiftKey || kind === 'contextmenu');
  });
element.addEventListener('focusin', (event) => {
  const area = event.target.closest('.click-area');
  if (area) draw(area);
});
element.addEventListener('keydown', (event) => {
  const area = event.target.closest('.click-area');
  if (!area) return;
  place = areas().indexOf(area);
  const step = event.shiftKey ? 0.1 : 0.02;
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (moves[event.key]) {
    cross = cross.map((each, i) => Math.min(1, Math.max(0, each + step * moves[event.key][i])));
    draw(area);
  } else if (event.key === 'Enter' || event.key === ' ') point(area, ...cross, event.shiftKey);
  else if (event.key === 'Backspace') trigger('undo');
  else return;
  event.preventDefault();
});
// New pictures take the place of the old ones: whoever was at one stays there.
watch('value', () => {
  const area = areas()[place];
  if (!area || !(document.activeElement === document.body || element.contains(document.activeElement))) return;
  area.focus({ preventScroll: true });
  draw(area);
});
