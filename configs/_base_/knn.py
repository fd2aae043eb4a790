# Tables 4, 6 and 11: k-NN by class token, mean patch token and both.
_base_ = './recognition.py'
test_evaluator = [
    dict(type='KNNAccuracy', kinds=('cls', 'pat', 'hybrid'), k=(10, 20, 50, 100), temperature=0.07)
]
