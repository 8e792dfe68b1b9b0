"""Vision: image classification on digits, clothes, small photographs and your own folders."""
