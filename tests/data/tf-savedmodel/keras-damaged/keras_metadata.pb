
(root* {"class_name": "A", "config": 1}
ÿ