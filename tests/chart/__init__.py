"""The Helm chart, the image and the list of what is in it, tested as an operator would use them."""
