# Table 8: 5-way 1-shot episodes by the class token.
_base_ = './recognition.py'
test_evaluator = [
    dict(type='FewShot', ways=5, shots=1, queries=15, episodes=600, seeds=(0, 1, 2), kind='cls')
]
