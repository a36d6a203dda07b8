"""Predicts the class of one image in plain PyTorch: python torch_predict.py STATE.pth IMAGE"""

import sys

import torch
from PIL import Image
from torchvision import models, transforms

model = models.mobilenet_v2(num_classes=2)
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
normalize = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
crop = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalize]
with torch.inference_mode():
    images = transforms.Compose(crop)(Image.open(sys.argv[2]).convert("RGB"))[None]
    probabilities = model.eval()(images).softmax(1)[0]
print(int(probabilities.argmax()), float(probabilities.max()))
