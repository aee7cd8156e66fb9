# The handler as a second container of every instance: no network between the two, and as many handlers as sidecars.

variable "project_id" {
  description = "Project."
  type        = string
}

variable "image" {
  description = "Image of kafka-sidecar, by digest."
  type        = string
}

variable "handler_image" {
  description = "Image of the handler, by digest."
  type        = string
}

variable "subnetwork" {
  description = "Subnetwork from which the brokers are reached."
  type        = string
}

module "orders_to_billing" {
  source = "../../modules/cloud-run-subscription"

  name              = "orders-to-billing"
  bootstrap_servers = "broker-1.example.com:9092"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "http://localhost:8080/orders"
  }
  # What a stop leaves to attempts; what takes longer comes again.
  handler = { timeout = "5s" }

  # It has to go on answering for 8 s after its own SIGTERM: that is how long the sidecar drains.
  handler_container = {
    image        = var.handler_image
    environment  = { PORT = "8080" }
    secrets      = { DATABASE_URL = { secret = "billing-database", version = "1" } }
    health_check = { port = 8080, path = "/health" }
  }

  image      = var.image
  project_id = var.project_id
  location   = "europe-west3"
  network    = { subnetwork = var.subnetwork }
}
