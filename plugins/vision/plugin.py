"""What the vision domain registers: names and where they are found, nothing more.

Imports neither MXNet nor NumPy: the classes are loaded when a run asks for them.
"""

from __future__ import annotations

from dope.core.hookspecs import Register, hookimpl

HERE = "dope.plugins.vision"


@hookimpl
def register_tasks(register: Register) -> None:
    shipped = {
        "softmax": ("classify:SoftmaxRegression", "Classify images by one linear layer"),
        "naive_bayes": ("naive_bayes:NaiveBayesClassifier", "Classify images by counting pixels"),
        "mlp": ("classify:Perceptrons", "Classify images by dense layers, with dropout if asked"),
        "cnn": ("classify:Convolutions", "Classify images by two convolutions (LeNet)"),
        "alexnet": ("classify:Alex", "Classify images by AlexNet"),
        "vgg": ("classify:VeryDeep", "Classify images by blocks of small convolutions (VGG)"),
        "ssd": ("ssd:Detector", "Find objects in images: classes and boxes, in a single shot"),
        "vqa": ("vqa:Answering", "Answer questions about images"),
        "finetune": ("finetune:FineTuning", "Fine-tune a pretrained network on other classes"),
    }
    for name, (target, summary) in shipped.items():
        register(f"vision.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_models(register: Register) -> None:
    shipped = {
        "softmax": ("softmax:Softmax", "One linear layer"),
        "naive_bayes": ("naive_bayes:NaiveBayes", "Bernoulli naive Bayes on binary pixels"),
        "mlp": ("mlp:MLP", "Dense layers with relu and dropout"),
        "cnn": ("cnn:CNN", "Two convolutions, pooling, two dense layers; batch norm if asked"),
        "alexnet": ("alexnet:AlexNet", "Five convolutions and three dense layers"),
        "vgg": ("vgg:VGG", "Blocks of 3x3 convolutions and three dense layers"),
        "ssd": ("ssd_net:SSD", "Single-shot detector: default boxes on five feature maps"),
        "vqa_concat": ("vqa_concat:Concatenation", "Features of image and question side by side"),
        "vqa_bilinear": ("bilinear:Bilinear", "Compact bilinear pooling of image and question"),
        "zoo": ("zoo:Zoo", "A network of MXNet's model zoo, its head for your classes"),
        "small_net": ("finetune_net:SmallNet", "Blocks of convolutions, body and head apart"),
    }
    for name, (target, summary) in shipped.items():
        register(f"vision.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_losses(register: Register) -> None:
    shipped = {
        "focal": ("ssd_losses:Focal", "Focal loss of a detector's classes"),
        "hard_negatives": ("ssd_losses:HardNegatives", "Cross-entropy with hard negative mining"),
    }
    for name, (target, summary) in shipped.items():
        register(f"vision.{name}", f"{HERE}.{target}", summary=summary)


@hookimpl
def register_datasets(register: Register) -> None:
    shipped = {
        "digits": ("digits:Digits", "1,797 hand-written digits, 8x8, shipped"),
        "mnist": ("idx:Mnist", "70,000 hand-written digits, 28x28"),
        "fashion_mnist": ("idx:FashionMnist", "70,000 pictures of clothes, 28x28"),
        "cifar10": ("cifar:Cifar10", "60,000 colour photographs of 10 things, 32x32"),
        "folder": ("folder:Folder", "Your own images, one folder a class"),
        "shapes": ("shapes:Shapes", "Coloured shapes with boxes, drawn at random, to detect"),
        "coco": ("coco:Coco", "Your own images with boxes, in COCO's JSON"),
        "voc": ("voc:Voc", "Your own images with boxes, in Pascal VOC's XML"),
        "detection_records": ("record:Records", "Your own images with boxes, in MXNet's RecordIO"),
        "pikachu": ("record:Pikachu", "1,000 rendered pikachus on photographs, to detect"),
        "vqa_scenes": ("scenes:Scenes", "Scenes of coloured shapes and questions, generated"),
        "vqa_archive": ("vqa_archive:Archive", "Features of images and questions, from .npz files"),
        "photos": ("finetune_images:Photos", "Your own photographs for a pretrained network"),
        "image_records": ("image_records:ImageRecords", "Your own images in MXNet's RecordIO"),
        "hotdog": ("image_records:Hotdog", "18,141 photographs, of hot dogs or not"),
        "glyphs": ("glyphs:Glyphs", "Letters of two made-up scripts: many, and few examples"),
    }
    for name, (target, summary) in shipped.items():
        register(f"vision.{name}", f"{HERE}.{target}", summary=summary)
