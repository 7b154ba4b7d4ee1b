"""Networks: the public graph, the server's weights, model files and training with the light."""
