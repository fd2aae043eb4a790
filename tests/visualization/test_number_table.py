from mmc_plugin.visualization.number_table import cell, markdown_lines


def test_numbers_and_tables():
    assert [cell(each) for each in (None, 3.0, 3, 1.234, -0.5)] == ['–', '3', '3', '1.23', '-0.50']
    assert markdown_lines(['a', 'b'], [['1', '2']]) == ['| a | b |', '| --- | --- |', '| 1 | 2 |']
