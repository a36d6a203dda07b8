"""Serves a MobileNetV2 as FastAPI's and PyTorch's tutorials do: what Isotune is compared with."""

import sys

import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import models, transforms

weights, classes, port = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
model = models.mobilenet_v2(num_classes=len(classes))
model.load_state_dict(torch.load(weights, weights_only=True))
model.eval()
mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
resize, crop = transforms.Resize(256), transforms.CenterCrop(224)
normalize = transforms.Normalize(mean, std)
prepare = transforms.Compose([resize, crop, transforms.ToTensor(), normalize])
app = FastAPI()


@app.post("/predict")
def predict(images: list[UploadFile]):
    batch = torch.stack([prepare(Image.open(each.file).convert("RGB")) for each in images])
    with torch.inference_mode():
        rows = torch.softmax(model(batch), 1).tolist()
    return {"results": [dict(zip(classes, row, strict=True)) for row in rows]}


uvicorn.run(app, port=port, log_level="critical")
