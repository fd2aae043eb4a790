from html.parser import HTMLParser

from mmc_plugin.visualization import page


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.images = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == 'img':
            self.images.append(dict(attributes))
        elif tag != 'meta':
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else None, data))


def test_page_holds_what_it_is_given(tmp_path):
    path = tmp_path / 'index.html'
    odd = 'a < b & "c" $x ${y} é'
    page.write_page(
        str(path),
        odd,
        page.paragraph(odd),
        [
            (odd, page.table([(odd, odd)]) + page.command(odd)),
            ('picture', page.picture('a b#1.png', odd)),
            ('gallery', page.gallery([('x y.jpg', odd, 'small'), ('z.jpg', 'z', '')])),
            ('bar', page.colour_bar(['#000000', '#ffffff'], odd, 'middle', 'high')),
        ],
    )
    reader = Reader(path.read_text(encoding='utf-8'))
    assert not reader.open
    assert sorted(tag for tag, text in reader.texts if text == odd) == [
        'figcaption',
        'h1',
        'h2',
        'p',
        'pre',
        'span',
        'td',
        'th',
        'title',
    ]
    assert reader.images == [
        dict(src='a%20b%231.png', alt=odd),
        dict(src='x%20y.jpg', alt=f'{odd} small'),
        dict(src='z.jpg', alt='z'),
    ]
    assert [each.name for each in tmp_path.iterdir()] == ['index.html']
